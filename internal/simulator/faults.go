package simulator

import (
	"bytes"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Fault deals with a request in the platform's place, or spoils its answer.
type Fault func(w http.ResponseWriter, r *http.Request, platform http.Handler)

// Pass lets the platform answer.
func Pass(w http.ResponseWriter, r *http.Request, platform http.Handler) { platform.ServeHTTP(w, r) }

// Refuse answers with an error document before the platform sees the request.
// retryAfter is the header's value; "": none.
func Refuse(status int, retryAfter string) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		writeJSON(w, status, apiError{
			Code: strings.ToUpper(strings.ReplaceAll(http.StatusText(status), " ", "_")), Message: "A fault of the simulator",
			Status: status, Timestamp: time.Now().UTC().Format("2006-01-02T15:04:05.000Z"),
		})
	}
}

// Cut closes the connection before the platform sees the request.
func Cut(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) }

// Lose lets the platform carry out the request and closes the connection in place
// of its answer.
func Lose(_ http.ResponseWriter, r *http.Request, platform http.Handler) {
	platform.ServeHTTP(newKept(), r)
	panic(http.ErrAbortHandler)
}

// FailAfter lets the platform carry out the request and answers with an error.
func FailAfter(status int) Fault {
	return func(w http.ResponseWriter, r *http.Request, platform http.Handler) {
		platform.ServeHTTP(newKept(), r)
		Refuse(status, "")(w, r, platform)
	}
}

// Break sends the first half of the platform's answer and closes the connection.
func Break(w http.ResponseWriter, r *http.Request, platform http.Handler) {
	answer := keep(r, platform)
	answer.sendHead(w)
	_, _ = w.Write(answer.body.Bytes()[:answer.body.Len()/2])
	_ = http.NewResponseController(w).Flush() // an error means that the client is gone
	panic(http.ErrAbortHandler)
}

// Expire revokes every token, this request's too, and lets the platform answer.
func Expire(w http.ResponseWriter, r *http.Request, platform http.Handler) {
	if p, ok := platform.(*Platform); ok {
		p.ExpireTokens()
	}
	platform.ServeHTTP(w, r)
}

// Hang gives no answer until the client hangs up.
func Hang(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
	_, _ = io.Copy(io.Discard, r.Body) // only then the server sees the client go
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

// Drip sends the platform's answer one byte at a time.
func Drip(pause time.Duration) Fault {
	return func(w http.ResponseWriter, r *http.Request, platform http.Handler) {
		answer := keep(r, platform)
		answer.sendHead(w)
		for _, b := range answer.body.Bytes() {
			_, _ = w.Write([]byte{b})
			_ = http.NewResponseController(w).Flush()
			if !wait(r.Context(), pause) {
				panic(http.ErrAbortHandler)
			}
		}
	}
}

// Flood sends a list of events that does not end.
func Flood(w http.ResponseWriter, r *http.Request, _ http.Handler) {
	w.Header().Set("Content-Type", "application/json")
	_, err := w.Write([]byte(`{"list":[`))
	for element := bytes.Repeat([]byte(`{"id":"flood"},`), 1000); err == nil && r.Context().Err() == nil; {
		_, err = w.Write(element)
	}
	panic(http.ErrAbortHandler)
}

// Redirect sends the client elsewhere.
func Redirect(to string) Fault {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		http.Redirect(w, r, to, http.StatusTemporaryRedirect)
	}
}

// Reply sends a body with a 200, whatever was asked.
func Reply(contentType, body string) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write([]byte(body))
	}
}

// FaultOptions say how often a platform fails.
type FaultOptions struct {
	Share float64 // of the requests that meet a transient fault at random, 0 to 1: 429, 503, 502, a lost connection
	Seed  uint64  // makes the same draws again
}

// Faults stands in front of a platform and makes it as unreliable as is wanted:
// at random, by Share, and by list, see [Faults.On]. Safe for concurrent use.
type Faults struct {
	platform *Platform
	share    float64

	mu     sync.Mutex
	rng    *rand.Rand
	listed map[string][]Fault // by path prefix
	met    int
}

// NewFaults puts faults in front of a platform.
func NewFaults(platform *Platform, o FaultOptions) (*Faults, error) {
	if err := (Rates{Loss: o.Share}).validate(); err != nil {
		return nil, err
	}
	return &Faults{
		platform: platform, share: o.Share,
		rng: rand.New(rand.NewPCG(o.Seed, o.Seed)), listed: make(map[string][]Fault), // #nosec G404 -- a seed makes it repeatable
	}, nil
}

// On lists what the next requests meet whose path starts with prefix: each fault
// meets one, in this order, after those that are listed already. [Pass] lets one
// through. Of several prefixes that fit, the longest counts.
func (f *Faults) On(prefix string, faults ...Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.listed[prefix] = append(f.listed[prefix], faults...)
}

// Met returns how many requests met a fault, [Pass] among them.
func (f *Faults) Met() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.met
}

// ServeHTTP implements [http.Handler].
func (f *Faults) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if fault := f.draw(r.URL.Path); fault != nil {
		fault(w, r, f.platform)
		return
	}
	f.platform.ServeHTTP(w, r)
}

// draw returns the fault that a request meets, nil for none.
func (f *Faults) draw(path string) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	fault := f.next(path)
	if fault == nil && f.rng.Float64() < f.share {
		fault = pick(f.rng, transient())
	}
	if fault != nil {
		f.met++
	}
	return fault
}

func (f *Faults) next(path string) Fault {
	prefixes := slices.SortedFunc(maps.Keys(f.listed), func(a, b string) int { return len(b) - len(a) })
	for _, prefix := range prefixes {
		if faults := f.listed[prefix]; strings.HasPrefix(path, prefix) && len(faults) > 0 {
			f.listed[prefix] = faults[1:]
			return faults[0]
		}
	}
	return nil
}

// transient are the faults that any platform shows from time to time, and that a
// client gets over by itself.
func transient() []Fault {
	return []Fault{
		Refuse(http.StatusTooManyRequests, "1"),
		Refuse(http.StatusServiceUnavailable, ""),
		FailAfter(http.StatusBadGateway),
		Cut, Lose, Break,
	}
}

// kept is an answer that is not sent, or not as it was given.
type kept struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func newKept() *kept { return &kept{header: make(http.Header), status: http.StatusOK} }

func keep(r *http.Request, platform http.Handler) *kept {
	k := newKept()
	platform.ServeHTTP(k, r)
	return k
}

func (k *kept) Header() http.Header         { return k.header }
func (k *kept) WriteHeader(status int)      { k.status = status }
func (k *kept) Write(b []byte) (int, error) { return k.body.Write(b) }

func (k *kept) sendHead(w http.ResponseWriter) {
	maps.Copy(w.Header(), k.header)
	w.WriteHeader(k.status)
}
