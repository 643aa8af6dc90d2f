package simulator

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Event is one event of the platform, in plaintext.
type Event struct {
	ID             string
	Type           string
	OperationToken string
	TransactionNum int64
	Last           bool   // nothing follows for this operation
	Body           []byte // the JSON object; not to be changed
}

// The places of an event's transaction number. The reference does not name one.
const (
	InData   = "data" // a member of "data"
	TopLevel = "top"  // a member of the event
	Nowhere  = "none" // left out
)

// openOperations is how many operations a generator has under way at a time, so
// that neighbours in time are mostly strangers, as with a busy platform.
const openOperations = 16

// createdForm is the form of "created" in the reference: no colon in the offset.
const createdForm = "2006-01-02T15:04:05.000-0700"

// GeneratorOptions say what the events look like. All but Seed have a default.
type GeneratorOptions struct {
	Seed  uint64
	Types []string // only these; empty: all of [Types]
	Size  int      // bytes an event is padded to, give or take 10; events are never cut

	TransactionFrom  int64  // the first number; 0 means 1
	TransactionPlace string // InData (default), TopLevel or Nowhere
	TransactionText  bool   // as a string rather than a number

	Now func() time.Time // nil: time.Now
}

// Generator makes events of operations that run through their lives in order,
// several operations at a time. The same options with the same clock give the
// same events, byte for byte. Not safe for concurrent use.
type Generator struct {
	options GeneratorOptions
	lives   [][]string
	rng     *rand.Rand
	number  int64
	open    []*operation
}

// operation is an enrollment, authentication or re-enrollment under way.
type operation struct {
	token, username string
	left            []string // types still to come
}

// NewGenerator returns a generator. It returns an error for a type that is not
// one of [Types] and for an unknown place.
func NewGenerator(o GeneratorOptions) (*Generator, error) {
	known := Types()
	for _, t := range o.Types {
		if !slices.Contains(known, t) {
			return nil, fmt.Errorf("unknown event type %q", t)
		}
	}
	switch o.TransactionPlace {
	case "", InData, TopLevel, Nowhere:
	default:
		return nil, fmt.Errorf("unknown place of the transaction number %q", o.TransactionPlace)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Generator{
		options: o,
		lives:   livesOf(o.Types),
		rng:     rand.New(rand.NewPCG(o.Seed, o.Seed)), // #nosec G404 -- a seed makes it repeatable
		number:  max(o.TransactionFrom, 1),
	}, nil
}

// Next makes the next event.
func (g *Generator) Next() (Event, error) {
	for len(g.open) < openOperations {
		g.open = append(g.open, g.begin())
	}
	i := g.rng.IntN(len(g.open))
	op := g.open[i]
	e := Event{
		ID:             g.uuid(),
		Type:           op.left[0],
		OperationToken: op.token,
		TransactionNum: g.number,
		Last:           len(op.left) == 1,
	}
	g.number++
	op.left = op.left[1:]
	if e.Last {
		g.open = slices.Delete(g.open, i, i+1)
	}
	var err error
	if e.Body, err = g.body(e, op.username); err != nil {
		return Event{}, fmt.Errorf("write event: %w", err)
	}
	return e, nil
}

func (g *Generator) begin() *operation {
	return &operation{
		token:    g.uuid(),
		username: pick(g.rng, usernames),
		left:     pick(g.rng, g.lives),
	}
}

// callback is the reference's "Callback payload sample", in its order of members.
type callback struct {
	ID             string         `json:"id"`
	Created        string         `json:"created"`
	Type           string         `json:"type"`
	OperationToken string         `json:"operationToken"`
	Username       string         `json:"username"`
	TransactionNum any            `json:"transactionNum,omitempty"`
	Data           map[string]any `json:"data"`
}

func (g *Generator) body(e Event, username string) ([]byte, error) {
	c := callback{
		ID:             e.ID,
		Created:        g.options.Now().In(easternTime).Format(createdForm),
		Type:           e.Type,
		OperationToken: e.OperationToken,
		Username:       username,
		Data:           g.data(e.Type),
	}
	g.place(&c, e.TransactionNum)
	body, err := json.Marshal(c)
	if missing := g.options.Size - len(body); err == nil && missing > 0 {
		c.Data["image"] = g.filler(missing - len(`,"image":""`))
		return json.Marshal(c)
	}
	return body, err
}

// easternTime is the offset of the reference's sample.
var easternTime = time.FixedZone("", -5*60*60)

func (g *Generator) place(c *callback, number int64) {
	var value any = number
	if g.options.TransactionText {
		value = fmt.Sprint(number)
	}
	switch g.options.TransactionPlace {
	case TopLevel:
		c.TransactionNum = value
	case Nowhere:
	default:
		c.Data["transactionNum"] = value
	}
}

// filler returns n characters that look like an image in base64: they hardly
// compress, as the real ones.
func (g *Generator) filler(n int) string {
	if n <= 0 {
		return ""
	}
	raw := make([]byte, 0, n+8)
	for len(raw) < n {
		raw = binary.BigEndian.AppendUint64(raw, g.rng.Uint64())
	}
	return base64.StdEncoding.EncodeToString(raw)[:n]
}

// uuid returns a random (version 4) UUID from the seed.
func (g *Generator) uuid() string {
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:8], g.rng.Uint64())
	binary.BigEndian.PutUint64(id[8:], g.rng.Uint64())
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id.String()
}

func pick[T any](rng *rand.Rand, from []T) T { return from[rng.IntN(len(from))] }

// Types returns the event types that a webhook may subscribe to, sorted: the 24
// of the reference.
func Types() []string {
	types := make(map[string]bool)
	for _, life := range lives {
		for _, t := range life {
			types[t] = true
		}
	}
	return slices.Sorted(maps.Keys(types))
}

// livesOf returns the lives with only the wanted types in them. A life without
// any is left out, so that no operation is silent.
func livesOf(wanted []string) [][]string {
	if len(wanted) == 0 {
		return lives
	}
	var some [][]string
	for _, life := range lives {
		kept := slices.DeleteFunc(slices.Clone(life), func(t string) bool { return !slices.Contains(wanted, t) })
		if len(kept) > 0 {
			some = append(some, kept)
		}
	}
	return some
}
