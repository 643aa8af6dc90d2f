package simulator

import (
	"encoding/json"
	"net/http"
	"strings"
)

const (
	enrollmentList  = "/onboarding/admin/registration"
	oneEnrollment   = "/onboarding/admin/registration/{registrationCode}"
	operationStatus = "/onboarding/b2c/operationStatus/{sessionToken}"

	defaultPageSize = 100
	maxPageSize     = 1000
)

// The completion statuses of B2C operations. The reference shows the first; the
// others are ours.
const (
	B2CPending   = "Pending"
	B2CCompleted = "Completed"
	B2CCancelled = "Cancelled"
)

// people is what the platform knows of enrollments and B2C operations. It follows
// from the recorded events, so that all endpoints tell of the same world.
type people struct {
	started   map[string]string // when an enrollment began, by operation token
	completed []*enrollment     // in the order of completion
	byCode    map[string]*enrollment
	b2c       map[string]string // status by operation token
	sessions  map[string]string // operation token by session token
}

// enrollment has the members of the reference's "Get enrollment details".
type enrollment struct {
	Name              string   `json:"name"`
	Email             string   `json:"email"`
	PhoneNumber       string   `json:"phoneNumber"`
	StartDate         string   `json:"startDate"`
	RegistrationCode  string   `json:"registrationCode"`
	RegisteredDevices []device `json:"registeredDevices"`
	Activities        []string `json:"activities"`
}

type device struct {
	DeviceID string `json:"deviceId"`
}

func newPeople() people {
	return people{
		started:   make(map[string]string),
		completed: []*enrollment{}, // an empty list is [], not null
		byCode:    make(map[string]*enrollment),
		b2c:       make(map[string]string),
		sessions:  make(map[string]string),
	}
}

// see takes note of an event. The caller holds the platform's lock.
func (p *people) see(e Event) {
	family, step, _ := strings.Cut(e.Type, ".")
	switch {
	case e.Type == "enrollment.started", e.Type == "enrollment.completed", strings.HasPrefix(step, "b2c."):
	case step == "cancelled":
		delete(p.started, e.OperationToken)
		p.end(e.OperationToken, B2CCancelled)
		return
	default:
		return // the others tell nothing of this, so their bodies need not be read
	}
	var body struct {
		callback
		Data struct{ RegistrationCode, SessionToken string } `json:"data"`
	}
	if json.Unmarshal(e.Body, &body) != nil {
		return // a test's own event
	}
	switch {
	case step == "b2c.started":
		p.b2c[e.OperationToken] = B2CPending
		p.sessions[body.Data.SessionToken] = e.OperationToken
	case step == "b2c.completed":
		p.end(e.OperationToken, B2CCompleted)
	case step == "started":
		p.started[e.OperationToken] = body.Created
	case family == "enrollment":
		p.complete(e.OperationToken, body.Data.RegistrationCode, body.callback)
	}
}

func (p *people) end(operation, status string) {
	if p.b2c[operation] == B2CPending {
		p.b2c[operation] = status
	}
}

func (p *people) complete(operation, code string, c callback) {
	if code == "" || p.byCode[code] != nil {
		return
	}
	began, known := p.started[operation]
	if !known {
		began = c.Created
	}
	delete(p.started, operation)
	person := &enrollment{
		Name: c.Username, Email: c.Username, StartDate: began, RegistrationCode: code,
		RegisteredDevices: []device{{DeviceID: operation}}, Activities: []string{"enrollment"},
	}
	p.byCode[code] = person
	p.completed = append(p.completed, person)
}

// routePeople serves the admin and B2C endpoints.
func (p *Platform) routePeople() {
	p.handle("POST "+enrollmentList, p.listEnrollments)
	p.handle("GET "+oneEnrollment, p.getEnrollment)
	p.handle("GET "+operationStatus, p.b2cStatus)
}

func (p *Platform) listEnrollments(w http.ResponseWriter, r *http.Request) error {
	q := struct{ PageNumber, PageSize int }{1, defaultPageSize}
	if err := readJSON(r, &q); err != nil {
		return err
	}
	if q.PageNumber < 1 || q.PageSize < 1 || q.PageSize > maxPageSize {
		return badInput("pageNumber or pageSize is out of range")
	}
	p.mu.Lock()
	all := p.people.completed // only ever appended to
	p.mu.Unlock()
	from := min((q.PageNumber-1)*q.PageSize, len(all))
	writeJSON(w, http.StatusOK, map[string]any{
		"pageNumber":   q.PageNumber,
		"pageSize":     q.PageSize,
		"totalPages":   (len(all) + q.PageSize - 1) / q.PageSize,
		"totalRecords": len(all),
		"list":         all[from:min(from+q.PageSize, len(all))],
	})
	return nil
}

func (p *Platform) getEnrollment(w http.ResponseWriter, r *http.Request) error {
	p.mu.Lock()
	person := p.people.byCode[r.PathValue("registrationCode")]
	p.mu.Unlock()
	if person == nil {
		return apiError{Code: "NOT_FOUND", Message: "No such registration", Status: http.StatusNotFound}
	}
	writeJSON(w, http.StatusOK, person)
	return nil
}

// b2cStatus takes a session token, or the token of the operation that it is for:
// the reference shows the same value for both.
func (p *Platform) b2cStatus(w http.ResponseWriter, r *http.Request) error {
	token := r.PathValue("sessionToken")
	p.mu.Lock()
	operation, ok := p.people.sessions[token]
	if !ok {
		operation = token
	}
	status, ok := p.people.b2c[operation]
	p.mu.Unlock()
	if !ok {
		return apiError{Code: "NOT_FOUND", Message: "No such operation", Status: http.StatusNotFound}
	}
	writeJSON(w, http.StatusOK, map[string]any{"completionStatus": status})
	return nil
}

// ExpireTokens makes every token that was sold worthless, as a platform does that
// revokes them before their end.
func (p *Platform) ExpireTokens() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.tokens)
}
