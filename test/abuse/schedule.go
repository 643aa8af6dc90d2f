package main

import "golang.org/x/sys/unix"

// How Linux schedules who shares the processors here and would not elsewhere, as options
// of chrt. In their own place Redis, Kafka and the sender of honest events would not wait
// for the gateway: make abuse has them go ahead of everybody, and this program hands that
// on to nobody. The gateway does not wait for the attackers, who have what it leaves.
const (
	asGateway  = "-o" // SCHED_OTHER
	asAttacker = "-i" // SCHED_IDLE
)

// aheadOfAll says whether this program, and with it the services, go ahead of the gateway.
func aheadOfAll() bool {
	own, err := unix.SchedGetAttr(0, 0)
	return err == nil && (own.Policy == unix.SCHED_RR || own.Policy == unix.SCHED_FIFO)
}
