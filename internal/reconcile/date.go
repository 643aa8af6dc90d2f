package reconcile

import (
	"strconv"
	"time"

	"awareid-gateway/internal/awareid"
)

// startDate is the one time that the reference's enrollment has. It shows it as
// "string", in no form.
const startDate = "startDate"

var (
	zoned   = []string{"2006-01-02T15:04:05Z0700", time.RFC3339, "2006-01-02 15:04:05Z0700", "2006-01-02 15:04:05Z07:00"}
	unzoned = []string{"2006-01-02T15:04:05", "2006-01-02 15:04:05", time.DateOnly}
)

// furthestEast is how much earlier a time without a zone may be than in UTC.
const furthestEast = 14 * time.Hour

// beganAt reads when an enrollment began: the events' form of a time, that of RFC
// 3339, or seconds or milliseconds of Unix. A time without a zone is read as the
// earliest that it can mean, so that an enrollment of before the period is not
// taken for one within. It is false where there is none of these.
func beganAt(e awareid.Enrollment) (time.Time, bool) {
	text, ok := e.Member(startDate)
	if !ok {
		return time.Time{}, false
	}
	for _, layout := range zoned {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), true
		}
	}
	for _, layout := range unzoned {
		if t, err := time.Parse(layout, text); err == nil {
			return t.Add(-furthestEast), true
		}
	}
	return unixTime(text)
}

// unixTime tells seconds from milliseconds by their digits: ten reach from 2001 to
// 2286, as thirteen do.
func unixTime(text string) (time.Time, bool) {
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil || n <= 0:
		return time.Time{}, false
	case len(text) == 10:
		return time.Unix(n, 0).UTC(), true
	case len(text) == 13:
		return time.UnixMilli(n).UTC(), true
	}
	return time.Time{}, false
}
