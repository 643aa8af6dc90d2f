package store

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"awareid-gateway/internal/event"
)

// The layout of a claim file: the bucket "claims" holds the records as JSON, by
// claim key, and "expiry" an empty value for each record, by its time to be
// forgotten (8 bytes, big endian) followed by its claim key. Aliases lie among the
// claims, under "alias " and their own key. What "meta" says under "format" tells
// this layout from others.
const format = "awareid-gateway claims 1"

// table is the content of the file in one transaction.
type table struct {
	claims  *bolt.Bucket
	expiry  *bolt.Bucket
	now     time.Time
	changed bool
}

func openTable(tx *bolt.Tx, now time.Time) *table {
	return &table{claims: tx.Bucket([]byte("claims")), expiry: tx.Bucket([]byte("expiry")), now: now}
}

// prepare lays out a new file, and returns ErrFormat for a file that holds
// anything else than claims of this version.
func prepare(tx *bolt.Tx) error {
	if meta := tx.Bucket([]byte("meta")); meta != nil {
		if string(meta.Get([]byte("format"))) != format {
			return ErrFormat
		}
		return nil
	}
	if first, _ := tx.Cursor().First(); first != nil {
		return ErrFormat
	}

	for _, name := range []string{"meta", "claims", "expiry"} {
		if _, err := tx.CreateBucket([]byte(name)); err != nil {
			return err
		}
	}
	return tx.Bucket([]byte("meta")).Put([]byte("format"), []byte(format))
}

func (t *table) claim(c event.Claim, terms event.Terms) (claimAnswer, error) {
	answer, err := t.claimKey(c, terms)
	if err == nil && c.Alias != "" {
		answer.claim.Alias = c.Alias
		var owner string
		owner, err = t.alias(c.Alias, c.Key, c.Fetched, terms.Keep, false)
		answer.claim.AliasOf, answer.claim.AliasFetched = ownedBy(c.Alias, owner)
	}
	return answer, err
}

func (t *table) claimKey(c event.Claim, terms event.Terms) (claimAnswer, error) {
	r, err := t.load(c.Key)
	if err != nil {
		return claimAnswer{}, err
	}
	if r == nil {
		r = claimed(c, terms, t.now)
		return claimAnswer{claim: r.event(c.Key), verdict: event.Granted}, t.save(c.Key, r, 0)
	}

	was := r.Expires
	verdict, changed := r.claim(c, terms, t.now)
	answer := claimAnswer{claim: r.event(c.Key), verdict: verdict}
	if !changed {
		return answer, nil
	}
	return answer, t.save(c.Key, r, was)
}

// update changes a record, if there is one and change says yes.
func (t *table) update(key string, change func(*record) bool) (bool, error) {
	r, err := t.load(key)
	if r == nil || err != nil {
		return false, err
	}
	was := r.Expires
	if !change(r) {
		return false, nil
	}
	return true, t.save(key, r, was)
}

func (t *table) release(key, token string) (bool, error) {
	r, err := t.load(key)
	if r == nil || err != nil || r.Token != token || r.State == event.Done {
		return false, err
	}
	if r.Inherited { // what its first owner did is still to be found out
		r.State, r.LeaseUntil = event.Claimed, 0
		return true, t.save(key, r, r.Expires)
	}
	return true, t.remove(key, r)
}

func (t *table) confirm(done []event.Delivery) ([]bool, error) {
	oks := make([]bool, len(done))
	for i, d := range done {
		r, err := t.load(d.Key)
		if err == nil && d.Alias != "" {
			_, err = t.alias(d.Alias, d.Key, d.Fetched, d.Keep, true)
		}
		if err != nil {
			return nil, err
		}
		if r == nil {
			r = &record{Token: d.Token}
		}
		was := r.Expires
		if oks[i] = r.confirm(d, t.now); !oks[i] {
			continue
		}
		if err := t.save(d.Key, r, was); err != nil {
			return nil, err
		}
	}
	return oks, nil
}

// aliasKey cannot be a claim's key: no webhook's id begins so.
func aliasKey(alias string) string { return "alias " + alias }

// alias returns the owner of an alias: the asker, an event by its key, where nobody
// has it yet, or where the asker takes it.
func (t *table) alias(alias, key string, fetched bool, keep time.Duration, take bool) (owner string, err error) {
	r, err := t.load(aliasKey(alias))
	if err != nil {
		return "", err
	}
	if r == nil {
		r = &record{}
	}
	was := r.Expires
	if r.AliasOf == "" || take {
		from, id := ownerOf(key, fetched)
		r.AliasOf = from + id
	}
	r.keep(keep, t.now)
	return r.AliasOf, t.save(aliasKey(alias), r, was)
}

// load returns nil where there is no record, or one whose time is over.
func (t *table) load(key string) (*record, error) {
	value := t.claims.Get([]byte(key))
	if value == nil {
		return nil, nil
	}
	var r record
	if err := json.Unmarshal(value, &r); err != nil {
		return nil, fmt.Errorf("read record: %w", err)
	}
	if r.expired(t.now) {
		return nil, nil
	}
	return &r, nil
}

// save writes a record, and moves it in the order of expiry from where it was; 0
// if it was nowhere.
func (t *table) save(key string, r *record, was int64) error {
	value, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("write record: %w", err)
	}
	t.changed = true
	if err := t.expiry.Delete(expiryKey(was, key)); err != nil {
		return err
	}
	if err := t.expiry.Put(expiryKey(r.Expires, key), nil); err != nil {
		return err
	}
	return t.claims.Put([]byte(key), value)
}

func (t *table) remove(key string, r *record) error {
	t.changed = true
	if err := t.expiry.Delete(expiryKey(r.Expires, key)); err != nil {
		return err
	}
	return t.claims.Delete([]byte(key))
}

// sweep forgets at most limit records whose time is over, the oldest first.
func (t *table) sweep(limit int) error {
	var due [][]byte
	cursor := t.expiry.Cursor()
	for k, _ := cursor.First(); k != nil && len(due) < limit; k, _ = cursor.Next() {
		if expiryTime(k) > t.now.UnixMilli() {
			break
		}
		due = append(due, slices.Clone(k)) // a deletion may move what k points at
	}
	for _, k := range due {
		if err := t.forget(k); err != nil {
			return err
		}
	}
	return nil
}

// forget removes an entry of the expiry bucket, and its record unless that has a
// later time by now.
func (t *table) forget(entry []byte) error {
	t.changed = true
	if err := t.expiry.Delete(entry); err != nil {
		return err
	}
	key := entry[8:]
	var r record
	if err := json.Unmarshal(t.claims.Get(key), &r); err == nil && !r.expired(t.now) {
		return nil
	}
	return t.claims.Delete(key)
}

func expiryKey(ms int64, key string) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(ms)), key...) // #nosec G115 -- milliseconds since 1970
}

func expiryTime(entry []byte) int64 { return int64(binary.BigEndian.Uint64(entry)) } // #nosec G115 -- milliseconds since 1970
