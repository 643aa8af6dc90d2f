package store_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	bolt "go.etcd.io/bbolt"

	"awareid-gateway/internal/event"
	"awareid-gateway/internal/store"
)

func TestFileRemembersOverARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "claims.db")
	c := newClock()
	f, err := store.OpenFile(path, c.now)
	require.NoError(t, err)
	before := fixture{claims: f}
	first, _ := before.mustClaim(t, attempt("a"))
	delivered := delivery("a")
	delivered.Key = "webhook/delivered"
	before.confirm(t, delivered)
	require.NoError(t, f.Close())

	after := fixture{claims: openFile(t, path, c.now), pass: c.pass, now: c.now, stopped: true}
	got, verdict := after.mustClaim(t, attempt("b"))
	require.Equal(t, event.Busy, verdict)
	require.Equal(t, first, got)

	other := attempt("b")
	other.Key = delivered.Key
	_, verdict = after.mustClaim(t, other)
	require.Equal(t, event.Delivered, verdict)

	after.pass(lease + wait + time.Second)
	after.want(t, event.Inherited, "b")
}

func TestFileIsForTheOwnerAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "claims.db")
	openFile(t, path, time.Now)

	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

func TestFileIsLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "claims.db")
	openFile(t, path, time.Now)

	_, err := store.OpenFile(path, time.Now)
	require.ErrorIs(t, err, store.ErrLocked)
	require.ErrorContains(t, err, path)
}

func TestFileOfAnotherFormat(t *testing.T) {
	text := func(content string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		}
	}
	bucket := func(name, key, value string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			db, err := bolt.Open(path, 0o600, nil)
			require.NoError(t, err)
			defer db.Close()
			require.NoError(t, db.Update(func(tx *bolt.Tx) error {
				b, err := tx.CreateBucket([]byte(name))
				require.NoError(t, err)
				return b.Put([]byte(key), []byte(value))
			}))
		}
	}
	for name, write := range map[string]func(*testing.T, string){
		"one byte":         text("x"),
		"pages of zeros":   text(string(make([]byte, 64<<10))),
		"other database":   bucket("users", "1", "x"),
		"next version":     bucket("meta", "format", "awareid-gateway claims 2"),
		"unmarked":         bucket("meta", "x", "y"),
		"marked elsewhere": bucket("claims", "format", "awareid-gateway claims 1"),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "claims.db")
			write(t, path)
			before, err := os.ReadFile(path)
			require.NoError(t, err)

			_, err = store.OpenFile(path, time.Now)
			require.ErrorIs(t, err, store.ErrFormat)
			require.ErrorContains(t, err, path)

			after, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, before, after, "a foreign file is left as it is")
		})
	}
}

func TestFileThatCannotBeOpened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "no such folder", "claims.db")
	_, err := store.OpenFile(path, time.Now)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, path)

	cut := filepath.Join(t.TempDir(), "claims.db")
	require.NoError(t, os.WriteFile(cut, make([]byte, 4096), 0o600))
	_, err = store.OpenFile(cut, time.Now)
	require.ErrorContains(t, err, cut)
}

// TestFileForgets fills and expires the file, and counts what is left in it.
func TestFileForgets(t *testing.T) {
	const events = 3000
	path := filepath.Join(t.TempDir(), "claims.db")
	c := newClock()

	t.Run("as it goes", func(t *testing.T) {
		f, err := store.OpenFile(path, c.now)
		require.NoError(t, err)
		claimMany(t, f, "old", events)
		c.pass(keep + lease + time.Second)
		claimMany(t, f, "new", events)
		require.NoError(t, f.Close())
		require.Equal(t, [2]int{events, events}, count(t, path))
	})

	t.Run("when it opens", func(t *testing.T) {
		c.pass(keep + lease + time.Second)
		f, err := store.OpenFile(path, c.now)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		require.Equal(t, [2]int{0, 0}, count(t, path))
	})
}

// TestFileForgetsNothingThatIsKept has a record whose time is moved.
func TestFileForgetsNothingThatIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "claims.db")
	c := newClock()
	f := fixture{claims: openFile(t, path, c.now), pass: c.pass, now: c.now, stopped: true}

	f.want(t, event.Granted, "a")
	f.pass(keep / 2)
	f.confirm(t, delivery("a"))
	f.pass(keep - time.Millisecond)
	claimMany(t, f, "other", 10) // commits, and so sweeps
	f.want(t, event.Delivered, "b")
	f.pass(time.Millisecond)
	f.want(t, event.Granted, "b")
}

func claimMany(t *testing.T, on claims, prefix string, n int) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			c := attempt("a")
			c.Key = fmt.Sprintf("%s/%d", prefix, i)
			if _, verdict, err := on.Claim(t.Context(), c, terms); err != nil || verdict != event.Granted {
				t.Errorf("claim %s: verdict %d, error %v", c.Key, verdict, err)
			}
		})
	}
	all.Wait()
}

// TestFileKeepsOneTimeForARecord moves the time of a record, and looks for what it
// left behind.
func TestFileKeepsOneTimeForARecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "claims.db")
	c := newClock()
	opened, err := store.OpenFile(path, c.now)
	require.NoError(t, err)
	f := fixture{claims: opened, pass: c.pass}

	f.want(t, event.Granted, "a")
	f.pass(time.Second)
	f.want(t, event.Granted, "a")
	f.pass(time.Second)
	f.confirm(t, delivery("a"))
	require.NoError(t, f.Close())
	require.Equal(t, [2]int{1, 1}, count(t, path))
}

// count returns the numbers of records and of expiry entries in a file.
func count(t *testing.T, path string) (n [2]int) {
	db, err := bolt.Open(path, 0o600, nil)
	require.NoError(t, err)
	defer db.Close()
	require.NoError(t, db.View(func(tx *bolt.Tx) error {
		n[0] = tx.Bucket([]byte("claims")).Stats().KeyN
		n[1] = tx.Bucket([]byte("expiry")).Stats().KeyN
		return nil
	}))
	return n
}

// TestRepeatsCostNoSync claims a delivered event again: nothing is written.
func TestRepeatsCostNoSync(t *testing.T) {
	path := filepath.Join(t.TempDir(), "claims.db")
	f := fixture{claims: openFile(t, path, newClock().now)}
	f.confirm(t, delivery("a"))
	before, err := os.ReadFile(path)
	require.NoError(t, err)

	f.want(t, event.Delivered, "b")
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, before, after)
}
