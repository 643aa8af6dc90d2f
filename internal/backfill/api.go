package backfill

import (
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"time"

	strict "github.com/go-json-experiment/json"

	"awareid-gateway/internal/event"
)

// APIPath is where Handler's paths begin.
const APIPath = "/api/backfill"

// listed bounds the gaps that one answer holds.
const listed = 1000

// Handler is the admin API for fetching by hand. Who may call is for the listener
// in front of it to decide.
//
//	GET    /api/backfill                 status of each webhook, and the jobs
//	POST   /api/backfill                 start a job: {"webhook","from","to","list","since":"2h","dryRun"}
//	POST   /api/backfill/resume          end a pause: {"webhook"}
//	POST   /api/backfill/restart         forget the numbers: {"webhook"}; what was forgotten
//	GET    /api/backfill/unrecoverable   ?webhook=NAME: numbers that were given up
//	GET    /api/backfill/{id}            a job
//	DELETE /api/backfill/{id}            cancel a job
//
// Jobs are known to the replica that runs them only. Refusals are problem
// documents (RFC 9457). A body must be application/json, which a page of another
// site cannot send.
func (j *Jobs) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+APIPath, j.serveOverview)
	mux.HandleFunc("POST "+APIPath, j.serveStart)
	mux.HandleFunc("POST "+APIPath+"/resume", j.serveResume)
	mux.HandleFunc("POST "+APIPath+"/restart", j.serveRestart)
	mux.HandleFunc("GET "+APIPath+"/unrecoverable", j.serveUnrecoverable)
	mux.HandleFunc("GET "+APIPath+"/{id}", j.serveJob)
	mux.HandleFunc("DELETE "+APIPath+"/{id}", j.serveCancel)
	return http.NewCrossOriginProtection().Handler(mux)
}

// statusDocument is a Status in JSON.
type statusDocument struct {
	Webhook       string     `json:"webhook"`
	Name          string     `json:"name,omitempty"`
	Begun         bool       `json:"begun"`
	First         uint64     `json:"first"`
	Next          uint64     `json:"next"`
	Missing       uint64     `json:"missing"`
	Retrying      uint64     `json:"retrying"`
	Unrecoverable uint64     `json:"unrecoverable"`
	GivenUp       uint64     `json:"givenUp"`
	Forgotten     uint64     `json:"forgotten"`
	PausedUntil   *time.Time `json:"pausedUntil,omitempty"`
}

// MarshalJSON writes the pause only while there is one.
func (s Status) MarshalJSON() ([]byte, error) {
	d := statusDocument{
		Webhook: s.ID, Name: s.Name, Begun: s.Begun, First: s.First, Next: s.Next,
		Missing: s.Missing, Retrying: s.Retrying, Unrecoverable: s.Unrecoverable, GivenUp: s.GivenUp, Forgotten: s.Forgotten,
	}
	if s.Paused() {
		until := s.Until.UTC()
		d.PausedUntil = &until
	}
	return json.Marshal(d)
}

func (j *Jobs) serveOverview(w http.ResponseWriter, r *http.Request) {
	status, err := j.backfiller.Status(r.Context(), "")
	if err != nil {
		j.refuse(w, err)
		return
	}
	reply(w, http.StatusOK, map[string]any{"webhooks": status, "jobs": j.List()})
}

// startDocument is a Request as people write it.
type startDocument struct {
	Webhook string   `json:"webhook"`
	From    *uint64  `json:"from"`
	To      *uint64  `json:"to"`
	List    []string `json:"list"`
	Since   string   `json:"since"` // such as 2h or 90m
	DryRun  bool     `json:"dryRun"`
}

// webhookDocument names a webhook; "" is the only one.
type webhookDocument struct {
	Webhook string `json:"webhook"`
}

func (j *Jobs) serveStart(w http.ResponseWriter, r *http.Request) {
	d, ok := read[startDocument](w, r)
	if !ok {
		return
	}
	q := Request{Webhook: d.Webhook, From: d.From, To: d.To, List: d.List, DryRun: d.DryRun}
	if d.Since != "" {
		var err error
		if q.Since, err = time.ParseDuration(d.Since); err != nil || q.Since <= 0 {
			problem(w, http.StatusBadRequest, "since is a duration such as 2h")
			return
		}
	}
	started, err := j.Start(q)
	if err != nil {
		j.refuse(w, err)
		return
	}
	w.Header().Set("Location", APIPath+"/"+started.ID)
	reply(w, http.StatusAccepted, started)
}

func (j *Jobs) serveResume(w http.ResponseWriter, r *http.Request) {
	d, ok := read[webhookDocument](w, r)
	if !ok {
		return
	}
	if err := j.backfiller.Resume(r.Context(), d.Webhook); err != nil {
		j.refuse(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (j *Jobs) serveRestart(w http.ResponseWriter, r *http.Request) {
	d, ok := read[webhookDocument](w, r)
	if !ok {
		return
	}
	dropped, err := j.backfiller.Restart(r.Context(), d.Webhook)
	if err != nil {
		j.refuse(w, err)
		return
	}
	reply(w, http.StatusOK, dropped)
}

// GapDocument is a gap in JSON.
type GapDocument struct {
	First uint64    `json:"first"`
	Last  uint64    `json:"last"`
	Since time.Time `json:"since"`
}

// Documents are gaps as the API writes them.
func Documents(gaps []event.Gap) []GapDocument {
	all := make([]GapDocument, len(gaps))
	for i, g := range gaps {
		all[i] = GapDocument{g.First, g.Last, g.Since.UTC()}
	}
	return all
}

func (j *Jobs) serveUnrecoverable(w http.ResponseWriter, r *http.Request) {
	gaps, err := j.backfiller.Unrecoverable(r.Context(), r.URL.Query().Get("webhook"), listed)
	if err != nil {
		j.refuse(w, err)
		return
	}
	reply(w, http.StatusOK, map[string]any{"gaps": Documents(gaps)})
}

func (j *Jobs) serveJob(w http.ResponseWriter, r *http.Request) {
	job, ok := j.Get(r.PathValue("id"))
	if !ok {
		problem(w, http.StatusNotFound, "this replica knows of no such job")
		return
	}
	reply(w, http.StatusOK, job)
}

func (j *Jobs) serveCancel(w http.ResponseWriter, r *http.Request) {
	if !j.Cancel(r.PathValue("id")) {
		problem(w, http.StatusNotFound, "this replica knows of no such job")
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// read reads a JSON body, or answers why not. It is one object, and nothing behind it;
// a member that is not known or is there twice is refused, for what it was to change
// is not certain.
func read[T any](w http.ResponseWriter, r *http.Request) (*T, bool) {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if kind != "application/json" {
		problem(w, http.StatusUnsupportedMediaType, "the body is application/json")
		return nil, false
	}
	var d *T // stays nil for null
	if err := strict.UnmarshalRead(r.Body, &d, strict.RejectUnknownMembers(true)); err != nil || d == nil {
		problem(w, http.StatusBadRequest, "the body is not the JSON object that is asked for")
		return nil, false
	}
	return d, true
}

// refuse answers an error. What is wrong with a dependency is for the log.
func (j *Jobs) refuse(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, ErrRequest):
		problem(w, http.StatusBadRequest, err.Error())
	case errors.Is(err, ErrUnknownWebhook):
		problem(w, http.StatusNotFound, err.Error())
	case errors.Is(err, ErrBusy):
		problem(w, http.StatusConflict, err.Error())
	default:
		j.backfiller.opts.Log.Warn("a request for a backfill failed", "error", err)
		problem(w, http.StatusServiceUnavailable, "the store did not answer")
	}
}

func reply(w http.ResponseWriter, code int, document any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(document) // an error means that the client is gone
}

func problem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"type": "about:blank", "title": http.StatusText(status), "status": status, "detail": detail,
	})
}
