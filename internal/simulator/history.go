package simulator

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// history keeps the events of a webhook for event data, up to a bound in bytes.
// It keeps the newest event always.
type history struct {
	keep   int
	bytes  int
	order  []int64 // oldest first
	bodies map[int64][]byte
}

func newHistory(keepBytes int) history {
	return history{keep: keepBytes, bodies: make(map[int64][]byte)}
}

func (h *history) add(number int64, body []byte) {
	if old, again := h.bodies[number]; again {
		h.bytes -= len(old)
	} else {
		h.order = append(h.order, number)
	}
	h.bodies[number] = body
	h.bytes += len(body)
	for h.bytes > h.keep && len(h.order) > 1 {
		oldest := h.order[0]
		h.bytes -= len(h.bodies[oldest])
		delete(h.bodies, oldest)
		h.order = h.order[1:]
	}
}

// Record makes an event known to event data, as the platform does whether or not
// its callback arrives. It returns [ErrUnknownWebhook]. The body is kept and must
// not change.
func (p *Platform) Record(webhookID string, e Event) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, ok := p.webhooks[webhookID]
	if !ok {
		return ErrUnknownWebhook
	}
	r.history.add(e.TransactionNum, e.Body)
	p.people.see(e)
	return nil
}

// Asked counts the requests for event data that the platform understood, whether
// or not their answers arrived.
type Asked struct {
	Requests int
	Numbers  int // in these requests
	Known    int // of these numbers
}

// Asked returns the sums over all webhooks.
func (p *Platform) Asked() Asked {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

// eventDataRequest is the reference's "Get event data". It does not say whether a
// number is a JSON number or a string, so both are taken.
type eventDataRequest struct {
	WebhookID string `json:"webhookId"`
	List      []struct {
		TransactionNum json.RawMessage `json:"transactionNum"`
	} `json:"list"`
}

// eventData answers with the events that it has, in the order asked, each sealed
// as the webhook's callbacks are. Numbers that it has not are left out.
func (p *Platform) eventData(w http.ResponseWriter, r *http.Request) error {
	var q eventDataRequest
	if err := readJSON(r, &q); err != nil {
		return err
	}
	hook, bodies, err := p.find(q)
	if err != nil {
		return err
	}
	scheme := p.SchemeOf(hook)
	list := make([]any, 0, len(bodies))
	for _, body := range bodies {
		sealed, err := scheme.encrypt(body)
		if err != nil {
			return err
		}
		list = append(list, element(scheme, sealed))
	}
	writeJSON(w, http.StatusOK, map[string]any{"list": list})
	return nil
}

func (p *Platform) find(q eventDataRequest) (Webhook, [][]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	known, ok := p.webhooks[q.WebhookID]
	if !ok {
		return Webhook{}, nil, errNoWebhook
	}
	var bodies [][]byte
	for _, asked := range q.List {
		number, err := strconv.ParseInt(strings.Trim(string(asked.TransactionNum), `"`), 10, 64)
		if err != nil {
			return Webhook{}, nil, badInput("transactionNum is missing or no number")
		}
		if body, ok := known.history.bodies[number]; ok {
			bodies = append(bodies, body)
		}
	}
	p.asked.Requests++
	p.asked.Numbers += len(q.List)
	p.asked.Known += len(bodies)
	return known.Webhook, bodies, nil
}

// element is a sealed event as a member of a list: a bare body is no JSON and
// becomes a string.
func element(s Scheme, sealed []byte) any {
	if s.bare() {
		return string(sealed)
	}
	return json.RawMessage(sealed)
}
