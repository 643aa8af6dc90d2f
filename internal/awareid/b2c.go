package awareid

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

const b2cStatus = "/onboarding/b2c/operationStatus"

// maxStatusChars bounds a completionStatus.
const maxStatusChars = 64

// B2CStatus is the completionStatus of a B2C operation. The reference shows one of
// them and names no other.
type B2CStatus string

// B2CPending is the status of an operation that has not ended.
const B2CPending B2CStatus = "Pending"

// B2CStatus returns how far a B2C operation has come. It returns ErrNotFound for an
// unknown session token. Repeated after failures.
func (c *Client) B2CStatus(ctx context.Context, sessionToken string) (B2CStatus, error) {
	path, err := pathTo(b2cStatus, sessionToken)
	if err != nil {
		return "", fmt.Errorf("%s: %w", getB2CStatus, err)
	}
	var status B2CStatus
	err = c.do(ctx, &request{
		operation: getB2CStatus,
		method:    http.MethodGet,
		path:      path,
		secrets:   []string{sessionToken},
		read:      func(body []byte) (err error) { status, err = readStatus(body); return err },
	})
	return status, err
}

func readStatus(body []byte) (B2CStatus, error) {
	var a struct {
		CompletionStatus jsontext.Value `json:"completionStatus"`
	}
	if err := decode(body, &a); err != nil {
		return "", err
	}
	status := scalar(a.CompletionStatus)
	if status == "" || len(status) > maxStatusChars || strings.ContainsFunc(status, func(r rune) bool { return r < ' ' || r > '~' }) {
		return "", malformed("completionStatus is missing or no status")
	}
	return B2CStatus(status), nil
}
