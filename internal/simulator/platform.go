package simulator

import (
	"cmp"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// DefaultEventDataPath is where event data is served unless told otherwise.
	// The reference does not name the path.
	DefaultEventDataPath = "/webhook/event"

	defaultTokenTTL  = 5 * time.Minute
	defaultKeepBytes = 256 << 20
	maxRequestBytes  = 1 << 20
)

// PlatformOptions say whom the platform knows and which of the open points of
// the reference it settles how.
type PlatformOptions struct {
	Customer               string // in the token's path: /auth/realms/{Customer}-consumers/…
	ClientID, ClientSecret string // what buys a token
	APIKey                 string // goes with the token on every other call
	TokenTTL               time.Duration

	EventDataPath string // "": DefaultEventDataPath
	UpdateMethod  string // PUT or PATCH, the other is answered 405; "": both

	// Scheme is how this platform signs and encrypts. The secret, the auth
	// header and the two switches come from each webhook's registration.
	Scheme Scheme

	// KeepBytes bounds the event bodies kept for event data, for each webhook;
	// the oldest go first. 0: 256 MiB.
	KeepBytes int

	Now func() time.Time // nil: time.Now
	// OnRegister hears of each webhook that is registered over HTTP, before the
	// answer goes out, so that its callbacks can be started. May be nil.
	OnRegister func(Webhook)
}

// Platform answers as AwareID's REST API does: token, webhook registration, event
// data, completed enrollments, status of B2C operations. State is in memory. Safe
// for concurrent use.
type Platform struct {
	options PlatformOptions
	mux     *http.ServeMux

	mu       sync.Mutex
	tokens   map[string]time.Time // until when each is good
	webhooks map[string]*registration
	people   people
	asked    Asked
}

// registration is a webhook and what happened for it.
type registration struct {
	Webhook
	history history
}

// NewPlatform returns a platform without webhooks. It returns an error where
// the options name no customer, client or API key, or a scheme that [Scheme.Seal]
// refuses.
func NewPlatform(o PlatformOptions) (*Platform, error) {
	if o.Customer == "" || o.ClientID == "" || o.ClientSecret == "" || o.APIKey == "" {
		return nil, errors.New("a platform needs a customer, a client id and secret, and an API key")
	}
	o.TokenTTL = cmp.Or(o.TokenTTL, defaultTokenTTL)
	o.EventDataPath = cmp.Or(o.EventDataPath, DefaultEventDataPath)
	o.KeepBytes = cmp.Or(o.KeepBytes, defaultKeepBytes)
	if o.Now == nil {
		o.Now = time.Now
	}
	probe := o.Scheme
	probe.Secret = newSecret()
	if _, _, err := probe.Seal([]byte("{}")); err != nil {
		return nil, fmt.Errorf("scheme: %w", err)
	}
	p := &Platform{
		options:  o,
		mux:      http.NewServeMux(),
		tokens:   make(map[string]time.Time),
		webhooks: make(map[string]*registration),
		people:   newPeople(),
	}
	p.route()
	return p, nil
}

func (p *Platform) route() {
	const registrations, one = "/webhook/registration", "/webhook/registration/{webhookId}"
	p.mux.HandleFunc("POST /auth/realms/{realm}/protocol/openid-connect/token", p.token)
	p.handle("GET "+registrations, p.list)
	p.handle("POST "+registrations, p.register)
	p.handle("GET "+one, p.get)
	p.handle("DELETE "+one, p.delete)
	for _, method := range []string{http.MethodPut, http.MethodPatch} {
		if p.options.UpdateMethod == "" || p.options.UpdateMethod == method {
			p.handle(method+" "+one, p.update)
		}
	}
	p.handle("POST "+p.options.EventDataPath, p.eventData)
	p.routePeople()
	for _, path := range []string{registrations, one, p.options.EventDataPath, enrollmentList, oneEnrollment, operationStatus} {
		p.mux.HandleFunc(path, p.answer(func(http.ResponseWriter, *http.Request) error { return errMethod }))
	}
	p.mux.HandleFunc("/", p.answer(func(http.ResponseWriter, *http.Request) error { return errNoSuchPath }))
}

// ServeHTTP implements [http.Handler].
func (p *Platform) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxRequestBytes)
	p.mux.ServeHTTP(w, r)
}

// token sells an access token for client credentials. Its refusals have the
// form of RFC 6749 section 5.2, as OpenID Connect wants.
func (p *Platform) token(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.PathValue("realm") != p.options.Customer+"-consumers":
		writeJSON(w, http.StatusNotFound, map[string]any{"error": "Realm does not exist"})
	case r.PostFormValue("grant_type") != "client_credentials":
		writeJSON(w, http.StatusBadRequest, map[string]any{"error": "unsupported_grant_type"})
	case r.PostFormValue("scope") != "openid":
		writeJSON(w, http.StatusBadRequest, map[string]any{"error": "invalid_scope"})
	case !equal(r.PostFormValue("client_id"), p.options.ClientID),
		!equal(r.PostFormValue("client_secret"), p.options.ClientSecret):
		writeJSON(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
	default:
		writeJSON(w, http.StatusOK, map[string]any{
			"access_token":       p.newToken(),
			"expires_in":         int(p.options.TokenTTL / time.Second),
			"refresh_expires_in": 0,
			"token_type":         "Bearer",
			"id_token":           idToken(p.options.ClientID),
			"not-before-policy":  0,
			"scope":              "openid",
		})
	}
}

func (p *Platform) newToken() string {
	token, now := hex.EncodeToString(random(32)), p.options.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for old, until := range p.tokens {
		if !now.Before(until) {
			delete(p.tokens, old)
		}
	}
	p.tokens[token] = now.Add(p.options.TokenTTL)
	return token
}

// idToken has the shape of a JWT. Nothing reads it, so it is not signed.
func idToken(subject string) string {
	claims, _ := json.Marshal(map[string]string{"sub": subject})
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." +
		base64.RawURLEncoding.EncodeToString(claims) + "."
}

// handle serves a path to those who bring a token and the API key.
func (p *Platform) handle(pattern string, h func(http.ResponseWriter, *http.Request) error) {
	p.mux.HandleFunc(pattern, p.answer(func(w http.ResponseWriter, r *http.Request) error {
		if err := p.authorize(r); err != nil {
			return err
		}
		return h(w, r)
	}))
}

func (p *Platform) authorize(r *http.Request) error {
	token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	p.mu.Lock()
	until, known := p.tokens[token]
	p.mu.Unlock()
	if !bearer || !known || !p.options.Now().Before(until) || !equal(r.Header.Get("apikey"), p.options.APIKey) {
		return errUnauthorized
	}
	return nil
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// apiError is a refusal, as the reference shows it.
type apiError struct {
	Code      string `json:"errorCode"`
	Message   string `json:"errorMsg"`
	Status    int    `json:"status"`
	Timestamp string `json:"timestamp"`
}

func (e apiError) Error() string { return e.Message }

var (
	errUnauthorized = apiError{Code: "UNAUTHORIZED", Message: "Missing or wrong bearer token or apikey", Status: http.StatusUnauthorized}
	errNoSuchPath   = apiError{Code: "NOT_FOUND", Message: "No such path", Status: http.StatusNotFound}
	errNoWebhook    = apiError{Code: "NOT_FOUND", Message: "No such webhook", Status: http.StatusNotFound}
	errMethod       = apiError{Code: "METHOD_NOT_ALLOWED", Message: "Method not allowed", Status: http.StatusMethodNotAllowed}
)

func badInput(message string) error {
	return apiError{Code: "INPUT_FORMAT_ERROR", Message: message, Status: http.StatusBadRequest}
}

// answer turns a handler's error into the reference's error document.
func (p *Platform) answer(h func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := h(w, r)
		if err == nil {
			return
		}
		e, ok := errors.AsType[apiError](err)
		if !ok {
			e = apiError{Code: "INTERNAL_ERROR", Message: err.Error(), Status: http.StatusInternalServerError}
		}
		e.Timestamp = p.options.Now().UTC().Format("2006-01-02T15:04:05.000Z")
		writeJSON(w, e.Status, e)
	}
}

func readJSON(r *http.Request, into any) error {
	if err := json.NewDecoder(r.Body).Decode(into); err != nil {
		return badInput("The body is not the JSON object that is asked for")
	}
	return nil
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false) // events go out byte for byte
	_ = out.Encode(v)        // an error means that the client is gone
}

// newSecret is as in the reference's samples: base64 of 32 bytes.
func newSecret() string { return base64.StdEncoding.EncodeToString(random(secretBytes)) }

// allKnown says whether these are event types of the reference.
func allKnown(types []string) bool {
	known := Types()
	return !slices.ContainsFunc(types, func(t string) bool { return !slices.Contains(known, t) })
}
