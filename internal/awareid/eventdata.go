package awareid

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"awareid-gateway/internal/event"
)

// Batch is what came of one request for event data.
type Batch struct {
	// Numbers are those that were asked for, in the caller's memory.
	Numbers []string
	// Bodies are the events that came, each as the body of a callback: a JSON
	// object byte for byte, an envelope perhaps, or the characters of a string. What
	// else stands there is handed on as it is, and is no event.
	// There may be fewer than numbers, and they need not be the ones that were
	// asked for: nothing of this is compared. They are the caller's.
	Bodies [][]byte
}

// EventData fetches the events of a webhook with these transaction numbers, which
// are written as in [event.Event]: batch after batch of at most Options.BatchSize,
// in the order given. A number that stands in numbers twice is asked for twice.
//
// An error belongs to its batch, whose numbers are told with it; a caller that
// does not break goes on to the next one. It is ErrNotFound where the webhook is
// unknown, or with a platform that answers so for an unknown number. A batch
// with an error that one of its numbers may have caused, see [OfNumbers], is halved,
// so that the others come all the same: one bad number costs two requests for each
// halving. Where all are bad, the webhook perhaps, it is for the caller to break.
// Requests are repeated after failures.
//
// The reference does not say how a number is written. A decimal one goes out as a
// JSON number, or as a string once numbers were answered 400 and strings were not.
func (c *Client) EventData(ctx context.Context, webhookID string, numbers []string) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		for some := range slices.Chunk(numbers, c.batchSize) {
			if !c.eventData(ctx, webhookID, some, yield) {
				return
			}
		}
	}
}

// eventData yields one batch, or its halves, and reports whether to go on.
func (c *Client) eventData(ctx context.Context, webhookID string, numbers []string, yield func(Batch, error) bool) bool {
	bodies, err := c.askForEvents(ctx, webhookID, numbers)
	if half := len(numbers) / 2; half > 0 && OfNumbers(err) {
		return c.eventData(ctx, webhookID, numbers[:half], yield) && c.eventData(ctx, webhookID, numbers[half:], yield)
	}
	return yield(Batch{Numbers: numbers, Bodies: bodies}, err)
}

// OfNumbers reports whether an error of EventData may be the fault of a number that
// was asked for: 400, 404, 413, and a 2xx that is malformed or larger than
// Options.MaxAnswerBytes. Another platform may answer so to every number.
func OfNumbers(err error) bool {
	if e, ok := errors.AsType[*Error](err); ok {
		return !e.ofToken && slices.Contains([]int{http.StatusBadRequest, http.StatusNotFound, http.StatusRequestEntityTooLarge}, e.Status)
	}
	_, ok := errors.AsType[*malformedError](err)
	return ok
}

// askForEvents writes the numbers in the form that the platform took last, and in
// the other one if that is refused.
func (c *Client) askForEvents(ctx context.Context, webhookID string, numbers []string) ([][]byte, error) {
	asText := c.numbersAsText.Load()
	bodies, err := c.requestEvents(ctx, webhookID, numbers, asText)
	if !hasStatus(err, http.StatusBadRequest) {
		return bodies, err
	}
	bodies, other := c.requestEvents(ctx, webhookID, numbers, !asText)
	if other != nil {
		return nil, err
	}
	c.numbersAsText.Store(!asText)
	return bodies, nil
}

// eventDataBody is the reference's request of "Get event data".
type eventDataBody struct {
	WebhookID string           `json:"webhookId"`
	List      []transactionNum `json:"list"`
}

type transactionNum struct {
	TransactionNum jsontext.Value `json:"transactionNum"`
}

func (c *Client) requestEvents(ctx context.Context, webhookID string, numbers []string, asText bool) ([][]byte, error) {
	body := eventDataBody{WebhookID: webhookID, List: make([]transactionNum, 0, len(numbers))}
	for _, number := range numbers {
		if !visible(number, event.MaxNameBytes) {
			return nil, fmt.Errorf("%s: a transaction number is empty, too long or not visible ASCII", getEventData)
		}
		body.List = append(body.List, transactionNum{written(number, asText)})
	}
	var bodies [][]byte
	err := c.do(ctx, &request{
		operation: getEventData,
		method:    http.MethodPost,
		path:      c.eventDataPath,
		body:      body,
		read:      func(answer []byte) (err error) { bodies, err = readEvents(answer); return err },
	})
	return bodies, err
}

// written returns a transaction number in JSON. What is no plain decimal number
// can only be a string.
func written(number string, asText bool) jsontext.Value {
	n, err := strconv.ParseUint(number, 10, 64)
	if !asText && err == nil && strconv.FormatUint(n, 10) == number {
		return jsontext.Value(number)
	}
	text, _ := jsontext.AppendQuote(nil, number) // its error is about bytes that are not ASCII
	return text
}

// readEvents returns the elements of the answer. null, which a platform may answer
// for a number that it does not know, is left out. Whether an element is an event
// is not judged here: one that is none must not cost the others.
func readEvents(answer []byte) ([][]byte, error) {
	elements, err := readList(answer)
	if err != nil {
		return nil, err
	}
	bodies := make([][]byte, 0, len(elements))
	for _, element := range elements {
		switch element.Kind() {
		case jsontext.KindString:
			bodies = append(bodies, []byte(scalar(element)))
		case jsontext.KindNull:
		default:
			bodies = append(bodies, element)
		}
	}
	return bodies, nil
}
