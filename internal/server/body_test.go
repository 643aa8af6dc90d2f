package server_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/server"
)

const bodyLimit = 100_000

func TestReadBody(t *testing.T) {
	for _, size := range []int{0, 1, 4095, 4096, 4097, 8192, bodyLimit - 1, bodyLimit} {
		want := bytes.Repeat([]byte("b"), size)
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"at once": func(r io.Reader) io.Reader { return r }, "by halves": iotest.HalfReader, "EOF with the data": iotest.DataErrReader,
		} {
			for _, announced := range []int{size, -1} {
				t.Run(fmt.Sprint(size, " ", name, " ", announced), func(t *testing.T) {
					body, taken, err := server.ReadBody(wrap(bytes.NewReader(want)), announced, bodyLimit, 1<<20)
					require.NoError(t, err)
					require.Equal(t, string(want), string(body))
					require.EqualValues(t, cap(body), taken, "what counts is what is held")
					require.LessOrEqual(t, cap(body), max(4096, 2*size), "memory follows what arrived")
				})
			}
		}
	}
}

// TestReadBodyInto reads where a refused body was, if there is room enough to begin.
func TestReadBodyInto(t *testing.T) {
	for name, tc := range map[string]struct {
		had, size, announced int
		reused               bool
	}{
		"as large":             {1000, 1000, 1000, true},
		"smaller":              {1000, 10, 10, true},
		"larger":               {1000, 1001, 1001, false},
		"of unknown length":    {4096, 10, -1, true},
		"unknown, too little":  {4095, 10, -1, false},
		"it has to grow":       {4096, 9000, 9000, false},
		"nothing into nothing": {0, 0, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			memory, want := bytes.Repeat([]byte("f"), tc.had), bytes.Repeat([]byte("b"), tc.size)
			body, taken, err := server.ReadBodyInto(memory[:0], bytes.NewReader(want), tc.announced, bodyLimit, 1<<20)
			require.NoError(t, err)
			require.Equal(t, string(want), string(body), "nothing of before")
			require.EqualValues(t, cap(body), taken)
			require.Equal(t, tc.reused, tc.size > 0 && &memory[:1][0] == &body[0])
		})
	}
	_, taken, err := server.ReadBodyInto(make([]byte, 0, 1000), bytes.NewReader(nil), 1000, bodyLimit, 999)
	require.Error(t, err)
	require.Zero(t, taken, "there is no room")
}

// TestReadBodyLeavesTheNextRequestAlone: what follows an announced body stays
// unread.
func TestReadBodyLeavesTheNextRequestAlone(t *testing.T) {
	r := bytes.NewReader(bytes.Repeat([]byte("b"), 20_000))
	body, _, err := server.ReadBody(r, 10_000, bodyLimit, 1<<20)
	require.NoError(t, err)
	require.Len(t, body, 10_000)
	require.Equal(t, 10_000, r.Len())
}

func TestBodiesThatCannotBeRead(t *testing.T) {
	some := func(n int, err error) io.Reader {
		return io.MultiReader(bytes.NewReader(make([]byte, n)), iotest.ErrReader(err))
	}
	slow := &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}
	for name, tc := range map[string]struct {
		r         io.Reader
		announced int
		budget    int64
		want      string
	}{
		"announced too large":       {iotest.ErrReader(errors.New("must not be read")), bodyLimit + 1, 1 << 20, "too_large"},
		"one byte too large":        {some(bodyLimit+1, io.EOF), -1, 1 << 20, "too_large"},
		"without an end":            {some(1<<30, io.EOF), -1, 1 << 20, "too_large"},
		"cut":                       {some(9_999, io.EOF), 10_000, 1 << 20, "cut_body"},
		"cut before the first byte": {some(0, io.EOF), 10_000, 1 << 20, "cut_body"},
		"cut by the network":        {some(5_000, errors.New("reset")), 10_000, 1 << 20, "cut_body"},
		"cut in a chunk":            {some(5_000, io.ErrUnexpectedEOF), -1, 1 << 20, "cut_body"},
		"slow":                      {some(5_000, slow), 10_000, 1 << 20, "slow"},
		"slow in chunks":            {some(5_000, slow), -1, 1 << 20, "slow"},
		"no budget at all":          {some(1, nil), 1, 0, "body_budget"},
		"no budget to grow":         {some(10_000, io.EOF), 10_000, 10_000, "body_budget"},
	} {
		t.Run(name, func(t *testing.T) {
			body, taken, err := server.ReadBody(tc.r, tc.announced, bodyLimit, tc.budget)
			require.EqualError(t, err, tc.want)
			require.Nil(t, body)
			require.Zero(t, taken)
		})
	}
}

// TestTheBudgetIsFreeAfterEveryKindOfEnding, through the whole server.
func TestTheBudgetIsFreeAfterEveryKindOfEnding(t *testing.T) {
	b := newBackend(t)
	g := b.serve(t, func(s *setUp) { s.Limits.RequestsPerWebhook = 2 })
	_, event := newEvent()
	large, raw := g.signed(t, padded(event, 40_000)), g.valid(t)
	for _, tc := range []struct {
		raw  string
		want int
	}{
		{large[:len(large)-1] + "x", 401}, {large, 200}, {large, 200}, {large, 429}, {raw, 429},
		{post(server.Path, http.Header{}, make([]byte, 60_000)), 401},
		{chunked(server.Path, http.Header{}, make([]byte, 70_000), 1000), 413},
		{strings.TrimSuffix(chunked(server.Path, http.Header{}, make([]byte, 60_000), 1000), "0\r\n\r\n") + "x\r\n", 400},
	} {
		c := g.dial(t)
		go c.send(tc.raw)
		require.Equal(t, tc.want, c.answer(t).status)
		g.eventually(t, "gateway_body_bytes", 0)
	}
	c := g.dial(t)
	c.send(chunked(server.Path, http.Header{}, make([]byte, 60_000), 1000)[:30_000])
	require.Eventually(t, func() bool { return g.metric("gateway_body_bytes") > 0 }, 10*time.Second, 5*time.Millisecond)
	c.Close()
	g.eventually(t, "gateway_body_bytes", 0)
}

// TestLargeBodiesLeaveRoomForSmallOnes: those that stall are cheap to send.
func TestLargeBodiesLeaveRoomForSmallOnes(t *testing.T) {
	g := newBackend(t).serve(t, func(s *setUp) { s.Limits.BodyBudgetBytes = 256 << 10 })
	stalled := post(server.Path, http.Header{}, make([]byte, 60_000))
	var last *conn
	refused := func() float64 { return g.metric(`gateway_refusals_total{cause="body_budget"}`) }
	for refused() == 0 {
		last = g.dial(t).send(stalled[:len(stalled)-1])
		require.Eventually(t, func() bool {
			return refused() > 0 || g.metric("gateway_body_bytes") > 0
		}, 10*time.Second, time.Millisecond)
	}
	a := last.answer(t)
	require.Empty(t, requireProblem(t, a, 503))
	require.Equal(t, "1", a.header.Get("Retry-After"))
	last.hungUp(t, a)
	for range 5 {
		require.Equal(t, 200, g.exchange(t, g.valid(t)).status)
	}
}
