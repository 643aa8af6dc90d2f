package store

import (
	"context"
	"fmt"
	"time"

	"awareid-gateway/internal/event"
)

// See does what Redis.See does, in one transaction.
func (f *File) See(ctx context.Context, seen []event.Number) error {
	return f.see(ctx, runsOf(seen), startReach)
}

// SeeFetched does what Redis.SeeFetched does, in one transaction.
func (f *File) SeeFetched(ctx context.Context, seen []event.Number) error {
	return f.see(ctx, runsOf(seen), fetchedReach)
}

func (f *File) see(ctx context.Context, runs []numberRun, reach uint64) error {
	_, err := do(ctx, f, func(t *table) (bool, error) { return true, t.see(runs, reach) })
	if err != nil {
		return fmt.Errorf("note transaction numbers in file: %w", err)
	}
	return nil
}

func (t *table) see(runs []numberRun, reach uint64) (err error) {
	var s *sheet
	for i, run := range runs {
		if i == 0 || run.webhook != runs[i-1].webhook {
			if s, err = openSheet(t, run.webhook); err != nil {
				return err
			}
		}
		if err := s.see(run.first, run.last, reach); err != nil {
			return err
		}
	}
	return nil
}

// Due does what Redis.Due does.
func (f *File) Due(ctx context.Context, webhook string, grace time.Duration, limit int) (event.Due, error) {
	due, err := do(ctx, f, func(t *table) (event.Due, error) {
		s, err := openSheet(t, webhook)
		if err != nil {
			return event.Due{}, err
		}
		return s.due(grace, uint64(limit)) // #nosec G115 -- a count
	})
	if err != nil {
		return event.Due{}, fmt.Errorf("read due transaction numbers in file: %w", err)
	}
	return due, nil
}

// Postpone does what Redis.Postpone does.
func (f *File) Postpone(ctx context.Context, webhook string, all []event.Postponement) error {
	_, err := do(ctx, f, func(t *table) (bool, error) {
		s, err := openSheet(t, webhook)
		for i := 0; err == nil && i < len(all); i++ {
			err = s.postpone(all[i])
		}
		return true, err
	})
	if err != nil {
		return fmt.Errorf("postpone transaction numbers in file: %w", err)
	}
	return nil
}

// Gaps does what Redis.Gaps does.
func (f *File) Gaps(ctx context.Context, webhook string, kind event.GapKind, from uint64, limit int) ([]event.Gap, error) {
	gaps, err := do(ctx, f, func(t *table) ([]event.Gap, error) {
		s, err := openSheet(t, webhook)
		if err != nil {
			return nil, err
		}
		return s.list(kind, from, limit)
	})
	if err != nil {
		return nil, fmt.Errorf("read gaps in file: %w", err)
	}
	return gaps, nil
}

// Numbers does what Redis.Numbers does.
func (f *File) Numbers(ctx context.Context, webhook string) (event.Numbers, error) {
	n, err := do(ctx, f, func(t *table) (event.Numbers, error) {
		s, err := openSheet(t, webhook)
		if err != nil {
			return event.Numbers{}, err
		}
		return s.numbers(), nil
	})
	if err != nil {
		return event.Numbers{}, fmt.Errorf("read sums of transaction numbers in file: %w", err)
	}
	return n, nil
}

// SetPace does what Redis.SetPace does.
func (f *File) SetPace(ctx context.Context, webhook string, pace event.Pace) error {
	_, err := do(ctx, f, func(t *table) (bool, error) {
		s, err := openSheet(t, webhook)
		if err != nil {
			return false, err
		}
		return true, s.setPace(pace)
	})
	if err != nil {
		return fmt.Errorf("note the pace in file: %w", err)
	}
	return nil
}

// Forget does what Redis.Forget does, in one transaction.
func (f *File) Forget(ctx context.Context, webhook string) (event.Numbers, error) {
	known, err := do(ctx, f, func(t *table) (event.Numbers, error) {
		s, err := openSheet(t, webhook)
		if err != nil {
			return event.Numbers{}, err
		}
		return s.numbers(), s.forget(webhook)
	})
	if err != nil {
		return event.Numbers{}, fmt.Errorf("forget transaction numbers in file: %w", err)
	}
	return known, nil
}
