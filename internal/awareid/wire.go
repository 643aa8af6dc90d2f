package awareid

import (
	"cmp"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// registrationBody is the request of a registration and of an update.
type registrationBody struct {
	GenerateNewSecret  bool     `json:"generateNewSecret,omitzero"`
	URL                *string  `json:"url,omitzero"`
	AuthHeaderKey      *string  `json:"authHeaderKey,omitzero"`
	AuthHeaderValue    *string  `json:"authHeaderValue,omitzero"`
	EncryptMessageBody *bool    `json:"encryptMessageBody,omitzero"`
	AddSignatureHeader *bool    `json:"addSignatureHeader,omitzero"`
	Events             []string `json:"events,omitzero"`
}

func newRegistrationBody(r Registration) registrationBody {
	body := registrationBody{
		URL:                &r.URL,
		EncryptMessageBody: new(!r.Unencrypted), // said, so that no default of the platform's decides
		AddSignatureHeader: new(!r.Unsigned),
		Events:             r.Events,
	}
	if r.AuthHeaderKey != "" {
		body.AuthHeaderKey, body.AuthHeaderValue = &r.AuthHeaderKey, new(r.AuthHeaderValue.Reveal())
	}
	return body
}

func newChangesBody(c Changes) registrationBody {
	return registrationBody{
		GenerateNewSecret:  c.GenerateNewSecret,
		URL:                c.URL,
		AuthHeaderKey:      c.AuthHeaderKey,
		AuthHeaderValue:    (*string)(c.AuthHeaderValue),
		EncryptMessageBody: c.EncryptMessageBody,
		AddSignatureHeader: c.AddSignatureHeader,
		Events:             c.Events,
	}
}

// webhookAnswer is what the platform tells of a webhook. Its secret is called
// "secret" by two calls and "secretKey" by a third.
type webhookAnswer struct {
	WebhookID          string   `json:"webhookId"`
	Secret             string   `json:"secret"`
	SecretKey          string   `json:"secretKey"`
	URL                string   `json:"url"`
	AuthHeaderKey      string   `json:"authHeaderKey"`
	AuthHeaderValue    string   `json:"authHeaderValue"`
	EncryptMessageBody *bool    `json:"encryptMessageBody"`
	AddSignatureHeader *bool    `json:"addSignatureHeader"`
	Events             []string `json:"events"`
}

// secret returns the one secret; "" where none is told.
func (a webhookAnswer) secret() (Secret, error) {
	value := cmp.Or(a.Secret, a.SecretKey)
	switch {
	case a.Secret != "" && a.SecretKey != "" && a.Secret != a.SecretKey:
		return "", malformed("secret and secretKey differ")
	case value != "" && !visible(value, maxSecretChars):
		return "", malformed("the secret has impossible characters")
	}
	return Secret(value), nil
}

func (a webhookAnswer) webhook() (Webhook, error) {
	secret, err := a.secret()
	if err != nil {
		return Webhook{}, err
	}
	if !visible(a.WebhookID, maxNameChars) {
		return Webhook{}, malformed("webhookId is missing or no id")
	}
	return Webhook{
		ID:                 a.WebhookID,
		URL:                a.URL,
		AuthHeaderKey:      a.AuthHeaderKey,
		AuthHeaderValue:    Secret(a.AuthHeaderValue),
		EncryptMessageBody: a.EncryptMessageBody,
		AddSignatureHeader: a.AddSignatureHeader,
		Events:             a.Events,
		Secret:             secret,
	}, nil
}

// readWebhook reads the registration of the webhook that was asked for.
func readWebhook(body []byte, id string) (Webhook, error) {
	var a webhookAnswer
	if err := decode(body, &a); err != nil {
		return Webhook{}, err
	}
	if a.WebhookID != id {
		return Webhook{}, malformed("webhookId is missing or another one")
	}
	return a.webhook()
}

func readWebhooks(body []byte) ([]Webhook, error) {
	elements, err := readList(body)
	if err != nil {
		return nil, err
	}
	hooks := make([]Webhook, 0, len(elements))
	for _, element := range elements {
		var a webhookAnswer
		if element.Kind() == jsontext.KindString {
			a.WebhookID = scalar(element)
		} else if err := decode(element, &a); err != nil {
			return nil, err
		}
		hook, err := a.webhook()
		if err != nil {
			return nil, err
		}
		hooks = append(hooks, hook)
	}
	return hooks, nil
}

// readIssued reads the answer to a registration or an update. What is missing in
// it is for the caller to judge.
func readIssued(body []byte) (Issued, error) {
	var a webhookAnswer
	if err := decode(body, &a); err != nil {
		return Issued{}, err
	}
	if a.WebhookID != "" && !visible(a.WebhookID, maxNameChars) {
		return Issued{}, malformed("webhookId is no id")
	}
	secret, err := a.secret()
	return Issued{WebhookID: a.WebhookID, Secret: secret}, err
}

// readList returns the elements of the member list. null is an empty one.
func readList(body []byte) ([]jsontext.Value, error) {
	var a struct {
		List jsontext.Value `json:"list"`
	}
	if err := decode(body, &a, lenient()...); err != nil {
		return nil, err
	}
	return elementsOf(a.List)
}

func elementsOf(list jsontext.Value) ([]jsontext.Value, error) {
	var elements []jsontext.Value
	if list == nil || json.Unmarshal(list, &elements, lenient()...) != nil {
		return nil, malformed("list is missing or no list")
	}
	return elements, nil
}
