// Package secrets keeps the secrets of each webhook in force in a running
// gateway, and rotates them without the loss of an event.
//
// The platform chooses a new secret and signs with it at once, before anybody here
// can know it. So a rotation ([Rotator]) first puts a mark on every board where
// replicas look ([RedisBoard], [FileBoard]) and waits until each replica has seen
// it: from then on they hold what fails, for a short time. Then the platform is
// asked, the new secret is told on the boards, and the mark is taken away. A mark
// ends by itself [MarkTTL] after whoever put it up is gone.
//
// Each replica has a [Watcher]. It reads the secrets file again, where the
// configuration names one, and what was told through Redis, and puts both in
// force: the configured secrets first, then those that it was told.
//
// What is told through Redis is a [Notice], sealed under the new secret and each
// that is accepted at that time: Redis, its disk and its network see no secret. Whoever
// has an accepted secret and reads Redis can open it, so this is a way to rotate,
// not to recover from a secret that has leaked together with access to Redis.
// A replica opens a notice with secrets that have not ended, takes none that is
// older than the one it has, and keeps what it was told while it runs, each secret
// until it ends. One that starts later with the configuration of before learns it
// for as long as the notice is kept; after that, or if Redis loses it, only from
// its configuration.
//
// The watcher reads every other file of a secret again too ([File]), and the
// files of TLS. What it reads is overwritten after use; a value that became a
// string, as those of the start and of headers do, cannot be, and is in memory
// until the garbage collector has reused its place.
//
// Limits. A replica that cannot reach Redis sees neither mark nor notice, and
// refuses what is signed with the new secret until it can. A rotation is carried
// by Redis, by a file, or by both: without Redis there is one replica, and its
// file, with the marker beside it, does all. No error, log line or metric of this
// package holds a secret.
package secrets
