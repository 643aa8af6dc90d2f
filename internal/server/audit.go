package server

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// AuditAddress says how the audit names who was refused.
type AuditAddress string

// The ways. A hash is keyed with what each process draws for itself and never
// tells: lines of one process can be joined, and nobody can find out the address
// by trying them all, which a key that is written down somewhere would allow.
const (
	AddressPlain AuditAddress = "plain"
	AddressHash  AuditAddress = "hash"
	AddressNone  AuditAddress = "none"
)

// Audit says what the log holds of refusals.
type Audit struct {
	LinesPerSecond int // for each cause; what is beyond is counted. 0: of authentic events alone
	Address        AuditAddress
}

// audit writes a line for each refusal, and under a flood the first of each
// second and cause, and how many it left out. A line holds nothing of what the
// sender wrote.
type audit struct {
	Audit
	log *slog.Logger
	key []byte

	mu     sync.Mutex
	causes map[string]*tally
	timer  *time.Timer // runs while something is left out; nil: it does not
}

// tally is what became of the refusals of one cause.
type tally struct {
	second  time.Time // when the second began
	lines   int       // in it
	leftOut int       // since the last count
}

func newAudit(opts Audit, log *slog.Logger) *audit {
	a := &audit{Audit: opts, log: log, key: make([]byte, sha256.Size), causes: map[string]*tally{}}
	rand.Read(a.key) // never fails
	return a
}

// admits says whether a refusal gets a line. If not, it is counted. What kept an
// authentic event from being taken is told even where there is no audit.
func (a *audit) admits(p *problem) bool {
	most := a.LinesPerSecond
	if p.because != nil {
		most = max(most, 1)
	}
	if most == 0 {
		return false
	}
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.causes[p.cause]
	if t == nil {
		t = &tally{}
		a.causes[p.cause] = t
	}
	if now.Sub(t.second) >= time.Second {
		t.second, t.lines = now, 0
	}
	if t.lines < most {
		t.lines++
		return true
	}
	t.leftOut++
	if a.timer == nil {
		a.timer = time.AfterFunc(time.Second, a.flush)
	}
	return false
}

// flush says what was left out since it did so last.
func (a *audit) flush() {
	if counts := a.takeCounts(); len(counts) > 0 {
		a.log.LogAttrs(context.Background(), slog.LevelInfo, "refused, without a line for each", counts...)
	}
}

func (a *audit) takeCounts() (counts []slog.Attr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.timer != nil {
		a.timer.Stop()
		a.timer = nil
	}
	for cause, t := range a.causes {
		if t.leftOut > 0 {
			counts = append(counts, slog.Int(cause, t.leftOut))
			t.leftOut = 0
		}
	}
	slices.SortFunc(counts, func(a, b slog.Attr) int { return cmp.Compare(a.Key, b.Key) })
	return counts
}

// write is the line of a refusal that is admitted. webhook is "" where none is
// known.
func (a *audit) write(p *problem, webhook string, client netip.Addr) {
	attrs := []slog.Attr{slog.String("cause", p.cause)}
	if p.status != 0 {
		attrs = append(attrs, slog.Int("status", p.status))
	}
	if webhook != "" {
		attrs = append(attrs, slog.String("webhook", webhook))
	}
	if a.Address != AddressNone {
		attrs = append(attrs, slog.String("address", a.name(client)))
	}
	level := slog.LevelInfo
	if p.because != nil {
		level = slog.LevelWarn
		attrs = append(attrs, slog.Any("error", p.because))
	}
	if p.id != "" {
		attrs = append(attrs, slog.String("id", p.id))
	}
	a.log.LogAttrs(context.Background(), level, "refused", attrs...)
}

// name is an address in the form that was asked for.
func (a *audit) name(client netip.Addr) string {
	if a.Address == AddressPlain {
		return client.String()
	}
	mac := hmac.New(sha256.New, a.key)
	mac.Write(client.AsSlice())
	return hex.EncodeToString(mac.Sum(nil)[:8])
}
