// Package reconcile compares what AwareID knows with the events in Kafka, and
// reports what is missing. It repairs nothing: a missing callback whose number is
// known is the backfill's, and what this package finds has no number that could be
// asked for.
//
// # What is compared
//
// The platform's list of completed enrollments with the enrollment.completed
// events, by a member that both have: an enrollment without an event is missing,
// an event without an enrollment is unknown. And the events of operations with
// each other, by the operation token: one that began some time ago and has neither
// been completed nor cancelled is unended. An unended B2C operation is looked up on
// the platform; if that says anything but "Pending", its last event is missing.
//
// # What it can be trusted in
//
// Events are read first, then the platform is asked; where something is missing
// then, Kafka is read on a while later. So an event that is just on its way is not
// told as missing. Of what could not be compared the report says so, and is
// partial: a Kafka or a platform that fails or does not end, records or enrollments
// without the member, enrollments without a date. A report that is not partial and
// has nothing missing says that nothing is, of the period, but for what follows.
//
// # Limits
//
// The list tells when an enrollment began and not when it was completed. One that
// began before the period and has no event in it may have been completed before,
// so it is not told as missing: the period has to be longer than enrollments last.
// The platform's list may leave one out that moves between two pages meanwhile.
// Events that retention has deleted are not there. A person who was deleted on the
// platform leaves an unknown event. Two of a million members share a hash, and
// count as one, with a probability of 3 in 100 million.
//
// Records of other writers do no harm: those without the gateway's headers are
// passed over, and nothing in a value is taken for more than text to be compared.
// Who writes records with those headers can make a missing event look seen.
//
// Memory is bounded, whatever is in Kafka and on the platform: [MaxKeys] keys, which
// take 53 MiB (BenchmarkMaxKeys, half of them events and half operations), one fetch
// of 4 MiB, one page of the platform, and lists of [MaxListed] entries each.
package reconcile
