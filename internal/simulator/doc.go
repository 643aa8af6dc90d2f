// Package simulator is a stand-in for everything around the gateway: AwareID's
// REST API ([Platform]), its events ([Generator]), its callbacks ([Sender]) and
// a Kafka broker ([Broker]). It serves `gateway dev`, `gateway simulate`,
// `gateway send` and tests.
//
// It speaks real HTTP, signs and encrypts with real ciphers, and shares no code
// with the gateway's own verification, so that both sides are written from the
// AwareID REST reference 12.1 alone. Where the reference leaves a thing open
// (name and form of the signature, cipher, place of the transaction number) the
// stand-in lets the caller choose, and its default is one plausible platform,
// never a claim about the real one.
//
// Limits: all state is in memory, and nothing here is meant to face a network
// other than the loopback.
package simulator
