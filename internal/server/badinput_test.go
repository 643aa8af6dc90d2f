package server_test

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// row is a line of a table in docs/http.md.
type row struct {
	name, status, cause string
	closed              bool
}

// rows reads the tables whose first column is "case".
func rows(t *testing.T) (rows []row) {
	t.Helper()
	document, err := os.ReadFile("../../docs/http.md")
	require.NoError(t, err)
	inTable := false
	for line := range strings.Lines(string(document)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i, cell := range cells {
			cells[i] = strings.Trim(cell, " `")
		}
		switch {
		case !strings.HasPrefix(line, "|"):
			inTable = false
		case cells[0] == "case":
			inTable = true
			require.Equal(t, []string{"case", "answer", "cause", "connection"}, cells)
		case inTable && !strings.HasPrefix(cells[0], "---"):
			require.Len(t, cells, 4, line)
			require.Contains(t, []string{"kept", "closed"}, cells[3], line)
			rows = append(rows, row{cells[0], cells[1], cells[2], cells[3] == "closed"})
		}
	}
	return rows
}

// badInput is how a row comes about.
type badInput struct {
	raw     func(t *testing.T, g *gateway) string
	changes []func(*setUp)
	before  func(t *testing.T, g *gateway) // on a gateway of its own
	alone   bool                           // nothing follows it: it is not all there, or would fare no better
	cut     bool                           // nothing can follow it: the sender says so
}

// TestBadInput runs every row of docs/http.md: its answer, its cause in the
// metrics, and what becomes of the connection. A request that is accepted
// follows in the same bytes; where the connection is closed, it has no effect.
func TestBadInput(t *testing.T) {
	b := newBackend(t)
	usual, inputs, seen := b.serve(t), badInputs(), map[string]bool{}
	for _, r := range rows(t) {
		require.False(t, seen[r.name], "two rows for %q", r.name)
		seen[r.name] = true
		input, tested := inputs[r.name]
		if !tested {
			t.Errorf("%q has no test", r.name)
			continue
		}
		t.Run(r.name, func(t *testing.T) {
			g := usual
			if input.changes != nil {
				g = b.serve(t, input.changes...)
			}
			if input.before != nil {
				input.before(t, g)
			}
			r.require(t, g, input)
		})
	}
	for name := range inputs {
		if !seen[name] {
			t.Errorf("%q has no row in docs/http.md", name)
		}
	}
	usual.requireSilence(t)
}

func (r row) require(t *testing.T, g *gateway, input badInput) {
	series := fmt.Sprintf("gateway_refusals_total{cause=%q}", r.cause)
	if strings.HasPrefix(r.status, "202") {
		series = fmt.Sprintf("gateway_quarantined_total{reason=%q,webhook=%q}", r.cause, webhookID)
	}
	before, stored := g.metric(series), g.stored(t)
	raw := input.raw(t, g)
	if !input.alone {
		raw += g.valid(t)
	}
	c := g.dial(t)
	defer c.Close()
	go func() {
		if c.send(raw); input.cut {
			c.Conn.(*net.TCPConn).CloseWrite()
		}
	}()
	if r.status == "none" {
		c.ended(t)
	} else {
		r.requireAnswer(t, c, !input.alone)
	}
	if r.cause != "" {
		g.eventually(t, series, before+1)
	}
	if strings.HasPrefix(r.status, "4") && r.closed {
		require.Equal(t, stored, g.stored(t), "what follows has no effect")
	}
}

func (r row) requireAnswer(t *testing.T, c *conn, followed bool) {
	status, err := strconv.Atoi(strings.Fields(r.status)[0])
	require.NoError(t, err, r.status)
	a := c.answer(t)
	require.Equal(t, status, a.status, a.body)
	if status >= 400 && r.cause != "quota" {
		require.Empty(t, requireProblem(t, a, status), "it names no cause")
	}
	if r.closed {
		c.hungUp(t, a)
		return
	}
	require.NotEqual(t, "close", a.header.Get("Connection"))
	if followed {
		require.Equal(t, 200, c.answer(t).status, "the request that follows")
	}
}
