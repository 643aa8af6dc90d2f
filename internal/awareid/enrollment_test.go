package awareid_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/awareid"
	"awareid-gateway/internal/simulator"
)

const enrollments = "/onboarding/admin/registration"

// enroll records n completed enrollments and returns their codes.
func (w *world) enroll(n int) []string {
	w.t.Helper()
	hook := w.hook()
	codes := make([]string, n)
	for i := range codes {
		codes[i] = fmt.Sprintf("code-%d", i)
		body := fmt.Sprintf(`{"id":"i","type":"enrollment.completed","operationToken":"op-%d","username":"u%d","created":"2026-01-02T03:04:05.000-0500","data":{"registrationCode":%q}}`, i, i, codes[i])
		require.NoError(w.t, w.platform.Record(hook.ID, simulator.Event{
			Type: "enrollment.completed", OperationToken: fmt.Sprintf("op-%d", i), TransactionNum: int64(i + 1), Body: []byte(body),
		}))
	}
	return codes
}

func TestEnrollments(t *testing.T) {
	for _, tt := range []struct{ enrollments, pages int }{{0, 1}, {1, 1}, {100, 1}, {101, 2}, {250, 3}} {
		inWorld(t, nil, func(t *testing.T, w *world) {
			codes := w.enroll(tt.enrollments)
			got, pages := []string{}, 0
			for page, err := range w.client.Enrollments(t.Context()) {
				require.NoError(t, err)
				pages++
				require.Equal(t, pages, page.Number)
				require.Equal(t, tt.enrollments, page.TotalRecords)
				for _, e := range page.Enrollments {
					got = append(got, e.RegistrationCode)
				}
			}
			require.Equal(t, codes, got)
			require.Equal(t, tt.pages, pages)
			require.Len(t, w.calls(enrollments), tt.pages)
		})
	}
}

func TestEnrollmentsEndWithTheCaller(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		w.enroll(300)
		for range w.client.Enrollments(t.Context()) {
			break
		}
		require.Len(t, w.calls(enrollments), 1)
	})
}

func page(number, total int, list string) simulator.Fault {
	return simulator.Reply("application/json", fmt.Sprintf(`{"pageNumber":%d,"totalPages":%d,"list":%s}`, number, total, list))
}

func TestAListThatDoesNotEnd(t *testing.T) {
	for name, faults := range map[string][]simulator.Fault{
		"the same page again":    {page(1, 0, `[{"registrationCode":"a"}]`), page(2, 0, `[{"registrationCode":"a"}]`)},
		"always the first":       {page(1, 9, `[{"registrationCode":"a"}]`), page(1, 9, `[{"registrationCode":"b"}]`)},
		"no list":                {simulator.Reply("application/json", `{"pageNumber":1}`)},
		"a list of codes":        {page(1, 1, `["a"]`)},
		"HTML":                   {simulator.Reply("text/html", `<html>`)},
		"a redirect":             {simulator.Redirect("/")},
		"a total of many digits": {simulator.Reply("application/json", `{"totalPages":99999999999999999999,"list":[]}`)},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(t *testing.T, w *world) {
				w.faults.On(enrollments, faults...)
				var last error
				for _, last = range w.client.Enrollments(t.Context()) {
				}
				require.ErrorIs(t, last, awareid.ErrMalformed)
				require.Len(t, w.calls(enrollments), len(faults))
			})
		})
	}
}

func TestAListOfTooManyPages(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		w.client.LimitPages(3)
		for n := range 9 {
			w.faults.On(enrollments, page(n+1, n+9, fmt.Sprintf(`[{"registrationCode":"%d"}]`, n)))
		}
		var last error
		for _, last = range w.client.Enrollments(t.Context()) {
		}
		require.ErrorIs(t, last, awareid.ErrMalformed)
		require.ErrorContains(t, last, "does not end")
		require.Len(t, w.calls(enrollments), 4)
	})
}

// A platform that tells no total is asked until a page is empty.
func TestPagesWithoutATotal(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		w.faults.On(enrollments, page(1, 0, `[{"registrationCode":"a"}]`), page(2, 0, `[{"registrationCode":"b"}]`), page(3, 0, `[]`))
		pages := 0
		for _, err := range w.client.Enrollments(t.Context()) {
			require.NoError(t, err)
			pages++
		}
		require.Equal(t, 3, pages)
	})
}

// The list grows while it is read.
func TestEnrollmentsWhileOthersEnroll(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		w.faults.On(enrollments, page(1, 1, `[{"registrationCode":"a"}]`))
		for range w.client.Enrollments(t.Context()) {
		}
		require.Len(t, w.calls(enrollments), 1)
		w.faults.On(enrollments, page(1, 2, `[{"registrationCode":"a"}]`), page(2, 3, `[{"registrationCode":"b"}]`), page(3, 3, `[{"registrationCode":"c"}]`))
		n := 0
		for _, err := range w.client.Enrollments(t.Context()) {
			require.NoError(t, err)
			n++
		}
		require.Equal(t, 3, n)
	})
}

func TestOneEnrollment(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		codes := w.enroll(3)
		got, err := w.client.Enrollment(t.Context(), codes[1])
		require.NoError(t, err)
		require.Equal(t, codes[1], got.RegistrationCode)
		for name, want := range map[string]string{"name": "u1", "registrationCode": codes[1], "startDate": "2026-01-02T03:04:05.000-0500"} {
			value, ok := got.Member(name)
			require.True(t, ok)
			require.Equal(t, want, value)
		}
		for _, name := range []string{"activities", "nothing"} {
			_, ok := got.Member(name)
			require.False(t, ok)
		}
		_, err = w.client.Enrollment(t.Context(), "unknown")
		require.ErrorIs(t, err, awareid.ErrNotFound)
		w.faults.On(enrollments, simulator.Reply("application/json", `{"registrationCode":"another"}`))
		_, err = w.client.Enrollment(t.Context(), codes[0])
		require.ErrorIs(t, err, awareid.ErrMalformed)
	})
}

func TestB2CStatus(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		hook := w.hook()
		tell := func(kind string) {
			body := `{"type":"` + kind + `","operationToken":"op","data":{"sessionToken":"session"}}`
			require.NoError(t, w.platform.Record(hook.ID, simulator.Event{Type: kind, OperationToken: "op", Body: []byte(body)}))
		}
		_, err := w.client.B2CStatus(t.Context(), "session")
		require.ErrorIs(t, err, awareid.ErrNotFound)
		tell("enrollment.b2c.started")
		status, err := w.client.B2CStatus(t.Context(), "session")
		require.NoError(t, err)
		require.Equal(t, awareid.B2CPending, status)
		tell("enrollment.b2c.completed")
		for _, token := range []string{"session", "op"} {
			status, err = w.client.B2CStatus(t.Context(), token)
			require.NoError(t, err)
			require.NotEqual(t, awareid.B2CPending, status)
		}
	})
	for answer, want := range map[string]awareid.B2CStatus{
		`{"completionStatus":"Pending"}`:     awareid.B2CPending,
		`{"completionStatus":"In progress"}`: "In progress",
		`{"completionStatus":2}`:             "2",
		`{"completionStatus":""}`:            "",
		`{"completionStatus":null}`:          "",
		`{}`:                                 "",
		`{"completionStatus":"a\nb"}`:        "",
		`{"completionStatus":"` + strings.Repeat("a", 65) + `"}`: "",
	} {
		got, err := awareid.ReadStatus([]byte(answer))
		require.Equal(t, want, got, answer)
		if want == "" {
			require.ErrorIs(t, err, awareid.ErrMalformed)
		}
	}
}
