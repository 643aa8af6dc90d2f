package dispatch

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/event"
	"awareid-gateway/internal/spool"
)

// An entry of an earlier run is ahead of what comes in before it is read, for
// the other replicas too.
func TestWhatIsReadLateKeepsItsTime(t *testing.T) {
	dir, begin := t.TempDir(), time.Now()
	at := func(id string, after time.Duration) *parcel {
		return &parcel{ClaimKey: "w/" + id, Ticket: event.Ticket{Queue: "w/op", ID: id, At: begin.Add(after)}}
	}
	open := func() *spool.Log {
		log, err := spool.Open(dir, spool.Options{MaxBytes: 1 << 20})
		require.NoError(t, err)
		return log
	}
	log := open()
	for _, p := range []*parcel{at("0", 2*time.Second), at("1", time.Second)} {
		body, err := p.encode()
		require.NoError(t, err)
		_, err = log.Append(t.Context(), body)
		require.NoError(t, err)
	}
	require.NoError(t, log.Close())

	log = open()
	defer log.Close()
	s := newSpooler(log, nil, nil, slog.New(slog.DiscardHandler), nil)
	live, _ := s.announce(at("2", time.Minute))
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // nothing is delivered
	for range 2 {
		entry, err := log.Next(t.Context())
		require.NoError(t, err)
		p, err := decodeParcel(entry.Sequence, entry.Body)
		require.NoError(t, err)
		s.chains["w/op"] = append(s.chains["w/op"], nil) // somebody is at work
		s.admit(ctx, p)
	}
	require.True(t, begin.Add(2*time.Second).Equal(s.mine["0"].ticket.At))
	require.True(t, begin.Add(2*time.Second+time.Microsecond).Equal(s.mine["1"].ticket.At))
	require.True(t, begin.Add(time.Minute).Equal(live.ticket.At))
	later, _ := s.announce(at("3", 0))
	require.True(t, later.ticket.At.After(live.ticket.At))
}
