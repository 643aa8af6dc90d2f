package simulator

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// maxAnswerBytes is read of an answer; the rest is of no interest.
const maxAnswerBytes = 64 << 10

// post is one HTTP callback.
type post struct {
	url    string
	body   []byte
	header http.Header
}

// newClient follows no redirect, as a platform that was told one URL.
func newClient(o SenderOptions) *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 2 * o.Concurrency // a repeat goes out beside its event
	return &http.Client{
		Transport:     transport,
		Timeout:       o.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// send posts until an answer is final or the attempts are used up. When ctx ends,
// the attempt under way is finished and no other is made.
func (p post) send(ctx context.Context, client *http.Client, o SenderOptions) Answer {
	var a Answer
	began, backoff := time.Now(), o.Backoff
	for a.Attempts < o.Attempts {
		if a.Attempts > 0 {
			if !wait(ctx, backoff) {
				break
			}
			backoff = min(2*backoff, maxBackoff)
		}
		a.Attempts++
		var final bool
		if a.Status, a.Outcome, final, a.Err = p.try(ctx, client); final {
			break
		}
	}
	a.Took = time.Since(began)
	return a
}

// try makes one attempt. It is not final where another may go better.
func (p post) try(ctx context.Context, client *http.Client) (status int, outcome Outcome, final bool, err error) {
	// The answer of an attempt under way is worth having at the end of a run.
	request, err := http.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodPost, p.url, bytes.NewReader(p.body))
	if err != nil {
		return 0, Failed, true, err
	}
	request.Header = p.header.Clone()
	response, err := client.Do(request)
	if err != nil {
		return 0, Failed, false, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	if err != nil {
		return response.StatusCode, Failed, false, fmt.Errorf("read answer: %w", err)
	}
	outcome, final = judge(response.StatusCode, body)
	return response.StatusCode, outcome, final, nil
}

// judge reads an answer by the gateway's table. A 5xx, 429 or 408 may be followed
// by a better one.
func judge(status int, body []byte) (outcome Outcome, final bool) {
	switch {
	case status >= 500, status == http.StatusTooManyRequests, status == http.StatusRequestTimeout:
		return Failed, false
	case status >= 400:
		return Rejected, true
	}
	var answer struct {
		Status Outcome `json:"status"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return Failed, true
	}
	switch {
	case status == http.StatusOK && (answer.Status == Accepted || answer.Status == Duplicate),
		status == http.StatusAccepted && (answer.Status == Spooled || answer.Status == Quarantined):
		return answer.Status, true
	}
	return Failed, true
}

// wait reports whether the time passed before ctx ended.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
