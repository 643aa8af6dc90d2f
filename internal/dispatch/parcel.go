package dispatch

import (
	"encoding/json"
	"fmt"
	"time"

	"awareid-gateway/internal/event"
)

// parcel is a delivery as it lies in the spool.
type parcel struct {
	ClaimKey   string         `json:"claim"`
	Topic      string         `json:"topic"`
	Record     Record         `json:"record"`
	Identity   []event.Header `json:"identity"`
	Ticket     event.Ticket   `json:"ticket"` // its Queue is "" for what need not be in order
	WebhookID  string         `json:"webhook"`
	ReceivedAt time.Time      `json:"received"`
	CreatedAt  time.Time      `json:"created"`
	Since      time.Time      `json:"since,omitzero"`
	Doubt      *doubt         `json:"doubt,omitempty"`
	Number     *numbered      `json:"number,omitempty"` // nil in what was spooled before numbers were tracked

	sequence uint64 // in the spool
	refused  bool   // by quarantine too, which has been said
}

// doubt says where the record may be already, and from when on nothing of the
// attempt that left the doubt can arrive there any more. It is kept beside the
// claim, for a store that loses its memory.
type doubt struct {
	event.Place
	FromOffset int64     `json:"from"`
	Over       time.Time `json:"over"`
}

func (p *parcel) encode() ([]byte, error) {
	b, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("encode for the spool: %w", err)
	}
	return b, nil
}

func decodeParcel(sequence uint64, body []byte) (*parcel, error) {
	p := &parcel{sequence: sequence}
	if err := json.Unmarshal(body, p); err != nil {
		// The decoder's words may quote the body.
		return nil, fmt.Errorf("entry %d of the spool is not one of this program's", sequence)
	}
	return p, nil
}

// size is about what the parcel takes in memory.
func (p *parcel) size() int64 { return int64(len(p.Record.Value)) + 1<<10 }

func (p *parcel) delivery() *delivery {
	return &delivery{
		origin:   Origin(headerOf(p.Record.Headers, headerOrigin)),
		claimKey: p.ClaimKey, topic: p.Topic, record: p.Record, identity: p.Identity,
		queue: p.Ticket.Queue, webhook: p.WebhookID, received: p.ReceivedAt, created: p.CreatedAt,
		memory: newHold(nil), spooled: true, since: p.Since, doubt: p.Doubt, number: p.Number,
	}
}
