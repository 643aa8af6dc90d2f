package event

// Number is the transaction number of an event of a webhook.
type Number struct {
	Webhook string
	N       uint64
}
