package awareid_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/awareid"
	"awareid-gateway/internal/decrypt"
	"awareid-gateway/internal/event"
	"awareid-gateway/internal/simulator"
)

const eventData = awareid.DefaultEventDataPath

// record makes events that the platform knows, with the numbers 1 to n.
func (w *world) record(hook simulator.Webhook, n int, o simulator.GeneratorOptions) []simulator.Event {
	w.t.Helper()
	generator, err := simulator.NewGenerator(o)
	require.NoError(w.t, err)
	events := make([]simulator.Event, n)
	for i := range events {
		events[i], err = generator.Next()
		require.NoError(w.t, err)
		require.NoError(w.t, w.platform.Record(hook.ID, events[i]))
	}
	return events
}

// numbers are those from 1 to n.
func numbers(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprint(i + 1)
	}
	return list
}

// bodies are the events that came, all batches together.
func bodies(t *testing.T, w *world, id string, numbers []string) (all [][]byte, batches [][]string) {
	t.Helper()
	for batch, err := range w.client.EventData(t.Context(), id, numbers) {
		require.NoError(t, err)
		all = append(all, batch.Bodies...)
		batches = append(batches, batch.Numbers)
	}
	return all, batches
}

// What comes can be opened and read as the body of a callback.
func TestEventDataComesAsCallbacksDo(t *testing.T) {
	for name, tt := range map[string]struct {
		cipher  string
		encrypt bool
	}{"encrypted": {"gcm", true}, "CBC": {"cbc", true}, "bare": {"bare-gcm", true}, "plain": {"gcm", false}} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(_ *awareid.Options, o *simulator.PlatformOptions) { o.Scheme = simulator.Scheme{Cipher: tt.cipher} }, func(t *testing.T, w *world) {
				hook, err := w.platform.Register(simulator.Webhook{URL: target, EncryptMessageBody: tt.encrypt})
				require.NoError(t, err)
				want := w.record(hook, 5, simulator.GeneratorOptions{})
				opener, err := decrypt.New(decrypt.Options{Secrets: []string{hook.Secret}})
				require.NoError(t, err)

				all, _ := bodies(t, w, hook.ID, []string{"4", "99", "2"})
				require.Len(t, all, 2, "an unknown number is left out")
				for i, number := range []int{4, 2} {
					opened, err := opener.Open(all[i], 0)
					require.NoError(t, err)
					require.Equal(t, string(want[number-1].Body), string(opened.Plaintext))
					e, err := event.Parse(opened.Plaintext)
					require.NoError(t, err)
					require.Equal(t, fmt.Sprint(number), e.TransactionNum)
				}
			})
		})
	}
}

func TestEventDataIsBatched(t *testing.T) {
	for n, want := range map[int][]int{0: nil, 1: {1}, 100: {100}, 101: {100, 1}, 250: {100, 100, 50}} {
		inWorld(t, nil, func(t *testing.T, w *world) {
			hook := w.hook()
			w.record(hook, n, simulator.GeneratorOptions{})
			all, batches := bodies(t, w, hook.ID, numbers(n))
			require.Len(t, all, n)
			var sizes []int
			for _, batch := range batches {
				sizes = append(sizes, len(batch))
			}
			require.Equal(t, want, sizes)
			require.Equal(t, numbers(n), append([]string{}, slices.Concat(batches...)...))
			require.Len(t, w.calls(eventData), len(want))
		})
	}
}

// An error belongs to one batch: the caller decides whether to go on.
func TestAnErrorBelongsToItsBatch(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		hook := w.hook()
		w.record(hook, 300, simulator.GeneratorOptions{})
		w.faults.On(eventData, simulator.Pass, simulator.Refuse(403, ""))
		var failed, fetched []string
		for batch, err := range w.client.EventData(t.Context(), hook.ID, numbers(300)) {
			if err != nil {
				require.ErrorIs(t, err, awareid.ErrUnauthorized)
				require.Empty(t, batch.Bodies)
				failed = append(failed, batch.Numbers...)
				continue
			}
			fetched = append(fetched, batch.Numbers...)
		}
		require.Equal(t, numbers(200)[100:], failed)
		require.Len(t, fetched, 200)
	})
	inWorld(t, nil, func(t *testing.T, w *world) {
		for _, err := range w.client.EventData(t.Context(), "unknown", numbers(300)) {
			require.ErrorIs(t, err, awareid.ErrNotFound)
			break
		}
		require.Len(t, w.calls(eventData), 7, "halved to the first number")
	})
}

// refusing answers as told where one of the numbers is asked for.
func refusing(fault simulator.Fault, bad ...string) simulator.Fault {
	return func(w http.ResponseWriter, r *http.Request, platform http.Handler) {
		text, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(text))
		var body struct {
			List []struct{ TransactionNum json.RawMessage }
		}
		_ = json.Unmarshal(text, &body)
		for _, n := range body.List {
			if slices.Contains(bad, strings.Trim(string(n.TransactionNum), `"`)) {
				fault(w, r, platform)
				return
			}
		}
		platform.ServeHTTP(w, r)
	}
}

// One bad number does not cost the others, nor many requests.
func TestABadNumberIsFoundByHalving(t *testing.T) {
	for name, tt := range map[string]struct {
		fault simulator.Fault
		most  int
	}{
		"400":      {simulator.Refuse(400, ""), 2 * 15}, // in both forms
		"404":      {simulator.Refuse(404, ""), 15},
		"not JSON": {simulator.Reply("text/html", "<h1>hello</h1>"), 15},
		"no list":  {simulator.Reply("application/json", `{"list":7}`), 15},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(t *testing.T, w *world) {
				hook := w.hook()
				w.record(hook, 100, simulator.GeneratorOptions{})
				for range 200 {
					w.faults.On(eventData, refusing(tt.fault, "33"))
				}
				var failed []string
				came := 0
				for batch, err := range w.client.EventData(t.Context(), hook.ID, numbers(100)) {
					if came += len(batch.Bodies); err != nil {
						require.True(t, awareid.OfNumbers(err), err)
						failed = append(failed, batch.Numbers...)
					}
				}
				require.Equal(t, []string{"33"}, failed)
				require.Equal(t, 99, came)
				require.LessOrEqual(t, len(w.calls(eventData)), tt.most)
			})
		})
	}
}

func TestABatchThatIsTooLargeIsHalved(t *testing.T) {
	const size = 4000
	t.Run("for us", func(t *testing.T) {
		inWorld(t, func(o *awareid.Options, _ *simulator.PlatformOptions) { o.MaxAnswerBytes = 10 * size }, func(t *testing.T, w *world) {
			hook, err := w.platform.Register(simulator.Webhook{URL: target})
			require.NoError(t, err)
			w.record(hook, 20, simulator.GeneratorOptions{Size: size})
			all, batches := bodies(t, w, hook.ID, numbers(20))
			require.Len(t, all, 20)
			require.Equal(t, numbers(20), slices.Concat(batches...))
			require.Greater(t, len(batches), 1)
		})
	})
	t.Run("for the platform", func(t *testing.T) {
		inWorld(t, nil, func(t *testing.T, w *world) {
			hook := w.hook()
			w.record(hook, 4, simulator.GeneratorOptions{})
			w.faults.On(eventData, simulator.Refuse(413, ""), simulator.Refuse(413, ""))
			all, batches := bodies(t, w, hook.ID, numbers(4))
			require.Len(t, all, 4)
			require.Equal(t, [][]string{{"1"}, {"2"}, {"3", "4"}}, batches)
		})
	})
	t.Run("even by itself", func(t *testing.T) {
		inWorld(t, func(o *awareid.Options, _ *simulator.PlatformOptions) { o.MaxAnswerBytes = 2 * size }, func(t *testing.T, w *world) {
			hook, err := w.platform.Register(simulator.Webhook{URL: target})
			require.NoError(t, err)
			events := w.record(hook, 3, simulator.GeneratorOptions{Size: 1000})
			events[1].Body = []byte(`{"x":"` + strings.Repeat("x", 3*size) + `"}`)
			require.NoError(t, w.platform.Record(hook.ID, events[1]))
			got := map[string]error{}
			for batch, err := range w.client.EventData(t.Context(), hook.ID, numbers(3)) {
				for _, number := range batch.Numbers {
					got[number] = err
				}
			}
			require.NoError(t, got["1"])
			require.ErrorIs(t, got["2"], awareid.ErrMalformed)
			require.NoError(t, got["3"], "one that is too large does not keep the others back")
			require.Len(t, w.calls(eventData), 5)
		})
	})
}

// An answer without an end is cut at the bound, and not asked for again.
func TestAnAnswerWithoutEnd(t *testing.T) {
	inWorld(t, func(o *awareid.Options, _ *simulator.PlatformOptions) { o.MaxAnswerBytes = 1 << 20 }, func(t *testing.T, w *world) {
		w.faults.On(eventData, simulator.Flood)
		for _, err := range w.client.EventData(t.Context(), w.hook().ID, numbers(1)) {
			require.ErrorIs(t, err, awareid.ErrMalformed)
			require.ErrorContains(t, err, "larger than its bound")
		}
		require.Len(t, w.calls(eventData), 1)
		require.Equal(t, 1, w.count("get_event_data", "malformed"))
	})
}

// wants answers 400 unless every number has the form.
func wants(text bool, sent *[]string) simulator.Fault {
	return func(w http.ResponseWriter, r *http.Request, platform http.Handler) {
		var body struct {
			List []struct{ TransactionNum json.RawMessage }
		}
		_ = json.NewDecoder(r.Body).Decode(&body)
		isText := false
		for _, n := range body.List {
			*sent = append(*sent, string(n.TransactionNum))
			isText = n.TransactionNum[0] == '"'
		}
		if isText != text {
			simulator.Refuse(400, "")(w, r, platform)
			return
		}
		listNothing(w, r, platform)
	}
}

func TestTheFormOfANumber(t *testing.T) {
	t.Run("a platform of strings", func(t *testing.T) {
		inWorld(t, nil, func(t *testing.T, w *world) {
			var sent []string
			for range 3 {
				w.faults.On(eventData, wants(true, &sent))
			}
			bodies(t, w, "w", []string{"7"})
			bodies(t, w, "w", []string{"8"})
			require.Equal(t, []string{`7`, `"7"`, `"8"`}, sent, "what was taken is remembered")
		})
	})
	t.Run("what is no plain number", func(t *testing.T) {
		inWorld(t, nil, func(t *testing.T, w *world) {
			var sent []string
			w.faults.On(eventData, wants(true, &sent))
			bodies(t, w, "w", []string{"18446744073709551615", "007", "-1", "1.5", "1e3", "+1", "A-1", "18446744073709551616"})
			require.Equal(t, []string{`18446744073709551615`, `"007"`, `"-1"`, `"1.5"`, `"1e3"`, `"+1"`, `"A-1"`, `"18446744073709551616"`}, sent)
		})
	})
	t.Run("a platform that wants neither", func(t *testing.T) {
		inWorld(t, nil, func(t *testing.T, w *world) {
			w.faults.On(eventData, simulator.Refuse(400, ""), simulator.Refuse(400, ""))
			for _, err := range w.client.EventData(t.Context(), "w", numbers(1)) {
				require.Equal(t, 400, refusalOf(t, err).Status)
			}
			require.Len(t, w.calls(eventData), 2)
		})
	})
	t.Run("what cannot be one", func(t *testing.T) {
		inWorld(t, nil, func(t *testing.T, w *world) {
			for _, bad := range []string{"", "1 2", "1\n", strings.Repeat("1", 129), "é"} {
				for _, err := range w.client.EventData(t.Context(), "w", []string{bad}) {
					require.Error(t, err)
				}
			}
			require.Empty(t, w.seen)
		})
	})
}

func TestReadEvents(t *testing.T) {
	for name, tt := range map[string]struct {
		answer string
		want   []string
	}{
		"none":            {`{"list":[]}`, nil},
		"null":            {` {"list":null} `, nil},
		"byte for byte":   {`{"list":[ { "a" : 1e0, "a":"\u0041"} , {"b":2}]}`, []string{`{ "a" : 1e0, "a":"\u0041"}`, `{"b":2}`}},
		"strings":         {`{"list":["YWJj","a\u002fb"]}`, []string{"YWJj", "a/b"}},
		"null for one":    {`{"list":[null,{"a":1}]}`, []string{`{"a":1}`}},
		"bad characters":  {"{\"list\":[{\"a\":\"\xff\"},{\"b\":1}]}", []string{"{\"a\":\"\xff\"}", `{"b":1}`}},
		"no events":       {`{"list":[1,{"a":1},[ 2 ],true]}`, []string{`1`, `{"a":1}`, `[ 2 ]`, `true`}},
		"further members": {`{"x":1,"list":[{"a":1}],"y":{}}`, []string{`{"a":1}`}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := awareid.ReadEvents([]byte(tt.answer))
			require.NoError(t, err)
			var texts []string
			for _, body := range got {
				texts = append(texts, string(body))
			}
			require.Equal(t, tt.want, texts)
		})
	}
	for _, answer := range []string{``, `{}`, `[]`, `null`, `{"list":{}}`, `{"list":[{}]`, `{"list":[{}]}x`, `<html>`, strings.Repeat(`{"list":[`, 20000)} {
		_, err := awareid.ReadEvents([]byte(answer))
		require.ErrorIs(t, err, awareid.ErrMalformed, answer)
	}
}
