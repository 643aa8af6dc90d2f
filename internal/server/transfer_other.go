//go:build !unix

package server

// transfer would move a stranger's bytes in turns; here connections move them themselves.
type transfer struct{}

func (c *carrier) prepare() {}

func (c *carrier) inTurns() bool { return false }

func (c *carrier) readInTurn(p []byte) (int, error) { return c.Conn.Read(p) }

func (c *carrier) writeInTurn(p []byte) (int, error) { return c.Conn.Write(p) }
