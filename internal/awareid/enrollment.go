package awareid

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"net/http"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	// The reference shows the path of one enrollment, below this, and the body of
	// the list's request, which makes it a POST.
	enrollments = "/onboarding/admin/registration"
	// pageSize is the one of the reference's sample.
	pageSize = 100
	// maxPages ends a list that does not end by itself.
	maxPages = 100_000
)

// Enrollment is a person's enrollment. It is personal data: no part of it may get
// into a log line, a metric or an error.
type Enrollment struct {
	RegistrationCode string         // "" where the platform does not tell it
	Object           jsontext.Value // what the platform told, a JSON object
}

// Member returns a member of the object that is a string or a number, as text, and
// false where it has none of that name. Of several the last counts.
func (e Enrollment) Member(name string) (string, bool) {
	switch value := e.Value(name); value.Kind() {
	case jsontext.KindString, jsontext.KindNumber:
		return scalar(value), true
	}
	return "", false
}

// Value returns a member of the object as it is written, nil where it has none of that
// name. Of several the last counts.
func (e Enrollment) Value(name string) jsontext.Value {
	var members map[string]jsontext.Value
	if json.Unmarshal(e.Object, &members, lenient()...) != nil {
		return nil
	}
	return members[name]
}

// Page is a part of the list of completed enrollments.
type Page struct {
	Number       int // from 1
	TotalPages   int // by this page; 0: not told
	TotalRecords int // by this page; 0: not told
	Enrollments  []Enrollment
}

// Enrollments yields the list of completed enrollments page by page. It ends with
// the last page by the platform's count, or where it tells none with an empty
// one, and with the first error. The order is the platform's, which the reference
// does not state: while others enroll, one may be told twice, or not, when they
// move over the edge of a page.
//
// A list that does not end by itself, because a page is the same as the one before,
// has another number than was asked for, or is the 100,001st, is ErrMalformed.
// Requests are repeated after failures.
func (c *Client) Enrollments(ctx context.Context) iter.Seq2[Page, error] {
	return func(yield func(Page, error) bool) {
		var last jsontext.Value
		for number := 1; ; number++ {
			page, list, err := c.enrollmentPage(ctx, number)
			if err == nil && (number > c.maxPages || len(page.Enrollments) > 0 && bytes.Equal(list, last)) {
				err = fmt.Errorf("%s: %w", listEnrollments, malformed("the list does not end"))
			}
			if err != nil {
				yield(Page{Number: number}, err)
				return
			}
			if !yield(page, nil) || len(page.Enrollments) == 0 || page.TotalPages > 0 && number >= page.TotalPages {
				return
			}
			last = list
		}
	}
}

// enrollmentsBody is the request of a page.
type enrollmentsBody struct {
	PageNumber int `json:"pageNumber"`
	PageSize   int `json:"pageSize"`
}

// enrollmentPage returns a page and its list as it was written.
func (c *Client) enrollmentPage(ctx context.Context, number int) (page Page, list jsontext.Value, err error) {
	err = c.do(ctx, &request{
		operation: listEnrollments,
		method:    http.MethodPost,
		path:      enrollments,
		body:      enrollmentsBody{PageNumber: number, PageSize: pageSize},
		read:      func(body []byte) (err error) { page, list, err = readPage(body, number); return err },
	})
	return page, list, err
}

func readPage(body []byte, number int) (Page, jsontext.Value, error) {
	var a struct {
		PageNumber   int            `json:"pageNumber"`
		TotalPages   int            `json:"totalPages"`
		TotalRecords int            `json:"totalRecords"`
		List         jsontext.Value `json:"list"`
	}
	if err := decode(body, &a, lenient()...); err != nil {
		return Page{}, nil, err
	}
	if a.PageNumber != 0 && a.PageNumber != number {
		return Page{}, nil, malformed("pageNumber is another one")
	}
	elements, err := elementsOf(a.List)
	if err != nil {
		return Page{}, nil, err
	}
	page := Page{Number: number, TotalPages: a.TotalPages, TotalRecords: a.TotalRecords}
	for _, element := range elements {
		enrollment, err := readEnrollment(element)
		if err != nil {
			return Page{}, nil, err
		}
		page.Enrollments = append(page.Enrollments, enrollment)
	}
	return page, a.List, nil
}

func readEnrollment(object jsontext.Value) (Enrollment, error) {
	var a struct {
		RegistrationCode jsontext.Value `json:"registrationCode"`
	}
	if err := decode(object, &a, lenient()...); err != nil {
		return Enrollment{}, err
	}
	return Enrollment{RegistrationCode: scalar(a.RegistrationCode), Object: object}, nil
}

// Enrollment returns the details of one enrollment. It returns ErrNotFound for an
// unknown code. Repeated after failures.
func (c *Client) Enrollment(ctx context.Context, registrationCode string) (Enrollment, error) {
	path, err := pathTo(enrollments, registrationCode)
	if err != nil {
		return Enrollment{}, fmt.Errorf("%s: %w", getEnrollment, err)
	}
	var enrollment Enrollment
	err = c.do(ctx, &request{
		operation: getEnrollment,
		method:    http.MethodGet,
		path:      path,
		secrets:   []string{registrationCode},
		read: func(body []byte) (err error) {
			enrollment, err = readEnrollment(body)
			if err == nil && enrollment.RegistrationCode != registrationCode {
				err = malformed("registrationCode is missing or another one")
			}
			return err
		},
	})
	if err != nil {
		return Enrollment{}, err
	}
	return enrollment, nil
}
