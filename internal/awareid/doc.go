// Package awareid is AwareID's REST API as Go calls: the token, webhook
// registration, event data, completed enrollments and B2C operations, by the
// AwareID REST reference 12.1. [Client] is all of it.
//
// Guarantees. A call that changes nothing, or that leads to the same state when
// it is repeated, is sent again after 429, a 5xx or a lost connection, with a
// growing, jittered wait that is never shorter than the platform's Retry-After.
// [Client.Register] and a change of secret are sent again only when it is certain
// that the platform did not act on them; else they end with [ErrOutcomeUnknown].
// Other refusals are final, a 401 after one try with a new token. Redirects are
// not followed, TLS is always verified, and what is read of an answer is bounded.
// Of secrets, tokens, names in paths and bodies nothing gets into an error or a
// metric: what a platform echoes of its request is masked, and of a connection's
// failure only what names no more than hosts and certificates is told.
//
// Limits. The circuit, the cached token and what was learnt of the platform (see
// [Client.Update] and [Client.EventData]) belong to one Client: make one for each
// process. Event data comes as it was sent, perhaps encrypted: opening it, and
// comparing it with what was asked, is the caller's. All times are of package
// time, so that a test runs it on a fake clock in a bubble of testing/synctest.
package awareid
