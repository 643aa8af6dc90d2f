package store

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/event"
)

// FuzzReplies reads what a Redis may answer that holds what another has written:
// a gap ends behind its beginning, a claim has a verdict, anything else is an
// error.
func FuzzReplies(f *testing.F) {
	for _, seed := range []string{
		"", "1", "1767225600000\nmissing\n1\n5\n1767225600000\n0", "1767225600000\nretry\n7\n7\n1767225600000\n3", "1\nmissing\n5\n1\n0\n0",
		"1\nmissing\n-1\n-1\n0\n0", "9:1767225600000", "9:1767225600000:2", "3:1", "-1:1", ":", "9223372036854775808:1",
		"token\nclaimed\nreplica\nawareid.enrollment\n0\n5\n\n1767225600000\ngranted", "token\ndone\nr\nt\n0\n\n7\n\ndelivered", "a\nb\nc\nd\n1\n2\n3\n4\nnone",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var fields []string
		if text != "" {
			fields = strings.Split(text, "\n")
		}
		due, err := readDue(fields)
		if err != nil {
			require.ErrorIs(t, err, errNotAGap)
			require.Zero(t, due)
		}
		for _, gap := range append(due.Missing, due.Retry...) {
			require.LessOrEqual(t, gap.First, gap.Last)
		}
		gap, err := readGap(5, text)
		if err != nil {
			require.ErrorIs(t, err, errNotAGap)
			require.Zero(t, gap)
		}
		require.True(t, err != nil || gap.First == 5 && gap.Last >= 5)

		reply := make([]any, len(fields))
		for i, field := range fields {
			reply[i] = field
		}
		answer := readClaim(&claimCall{}, int64(1767225600000), reply)
		require.Equal(t, answer.err != nil, answer.verdict == event.Verdict(0))
		if answer.err != nil {
			require.Zero(t, answer.claim)
		}
	})
}
