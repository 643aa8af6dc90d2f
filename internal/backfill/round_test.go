package backfill_test

import (
	"context"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/awareid"
	"awareid-gateway/internal/backfill"
	"awareid-gateway/internal/event"
)

// hesitant is a platform that takes its time for one webhook.
type hesitant struct {
	*platform
	webhook string
	takes   time.Duration
}

func (s hesitant) EventData(ctx context.Context, webhookID string, numbers []string) iter.Seq2[awareid.Batch, error] {
	if webhookID == s.webhook {
		time.Sleep(s.takes)
	}
	return s.platform.EventData(ctx, webhookID, numbers)
}

// TestBusyWebhook does not hold up the holes of another one.
func TestBusyWebhook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(o *backfill.Options) {
			o.Webhooks = append(o.Webhooks, backfill.Webhook{ID: "another", Name: "another", Opener: o.Webhooks[0].Opener})
			o.Platform = hesitant{platform: o.Platform.(*platform), webhook: hookID, takes: 3 * time.Second}
		})
		r.begin()
		r.came(1, 1)
		r.came(2002, 2002)
		require.NoError(t, r.numbers.See(t.Context(), []event.Number{{Webhook: "another", N: 3001}, {Webhook: "another", N: 3003}}))
		after(grace + 6*interval)
		require.Contains(t, r.platform.asked(), []string{"3002"})
		require.Less(t, len(r.platform.asked()), 12, "the other one is not done")
		after(time.Minute)
		require.Zero(t, r.status().Missing, "and is not slower for it")
	})
}
