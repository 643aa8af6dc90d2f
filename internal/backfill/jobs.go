package backfill

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// JobState says how far a job is.
type JobState string

// The states of a job.
const (
	Running   JobState = "running"
	Done      JobState = "done"      // all that was asked for came
	Partial   JobState = "partial"   // some of it did not
	Broken    JobState = "failed"    // it ended with an error
	Cancelled JobState = "cancelled" // by hand, or with the gateway
)

// Job is a fetch by hand that runs on its own.
type Job struct {
	ID      string     `json:"id"`
	State   JobState   `json:"state"`
	Request Request    `json:"request"`
	Summary Summary    `json:"summary"`
	Error   string     `json:"error,omitempty"`
	Started time.Time  `json:"started"`
	Ended   *time.Time `json:"ended,omitempty"`
}

const (
	maxRunning = 2  // jobs at a time
	maxKept    = 50 // jobs that have ended
)

// ErrBusy says that as many jobs run as may.
var ErrBusy = errors.New("two backfill jobs run already")

// Jobs are the jobs of this replica, which alone knows of them, as long as it
// runs. It is safe for concurrent use.
type Jobs struct {
	backfiller *Backfiller

	mu      sync.Mutex
	jobs    map[string]*job
	closed  bool
	running sync.WaitGroup
}

type job struct {
	Job
	cancel context.CancelFunc
}

// NewJobs returns jobs that b carries out. Close ends them.
func NewJobs(b *Backfiller) *Jobs { return &Jobs{backfiller: b, jobs: map[string]*job{}} }

// Start begins a job. It returns ErrRequest, ErrUnknownWebhook, or ErrBusy.
func (j *Jobs) Start(q Request) (Job, error) {
	if err := q.check(); err != nil {
		return Job{}, err
	}
	if _, err := j.backfiller.chosen(q); err != nil {
		return Job{}, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed || j.count(func(o *job) bool { return o.State == Running }) >= maxRunning {
		return Job{}, ErrBusy
	}
	ctx, cancel := context.WithCancel(context.Background())
	started := &job{cancel: cancel, Job: Job{
		ID: strings.ToLower(rand.Text()), State: Running, Request: q, Started: j.backfiller.opts.Now(),
	}}
	j.makeRoom()
	j.jobs[started.ID] = started
	j.running.Go(func() { j.run(ctx, started) })
	return started.Job, nil
}

func (j *Jobs) run(ctx context.Context, o *job) {
	defer o.cancel()
	summary, err := j.backfiller.Fill(ctx, o.Request, func(s Summary) {
		j.mu.Lock()
		defer j.mu.Unlock()
		o.Summary = s.clone()
	})
	j.mu.Lock()
	defer j.mu.Unlock()
	ended := j.backfiller.opts.Now()
	o.Summary, o.Ended = summary.clone(), &ended
	switch {
	case ctx.Err() != nil:
		o.State = Cancelled
	case err != nil:
		o.State, o.Error = Broken, err.Error()
	case !summary.Complete():
		o.State = Partial
	default:
		o.State = Done
	}
}

func (s Summary) clone() Summary {
	s.Outcomes, s.Refused, s.Unrecovered = maps.Clone(s.Outcomes), maps.Clone(s.Refused), slices.Clone(s.Unrecovered)
	return s
}

func (j *Jobs) count(what func(*job) bool) (n int) {
	for _, o := range j.jobs {
		if what(o) {
			n++
		}
	}
	return n
}

// makeRoom forgets the job that ended first, if there are too many.
func (j *Jobs) makeRoom() {
	var oldest *job
	for _, o := range j.jobs {
		if o.Ended != nil && (oldest == nil || o.Ended.Before(*oldest.Ended)) {
			oldest = o
		}
	}
	if j.count(func(o *job) bool { return o.Ended != nil }) >= maxKept {
		delete(j.jobs, oldest.ID)
	}
}

// Get returns a job, and false where there is none of this id.
func (j *Jobs) Get(id string) (Job, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	o, ok := j.jobs[id]
	if !ok {
		return Job{}, false
	}
	return o.Job, true
}

// List returns all jobs that are known, the latest first.
func (j *Jobs) List() []Job {
	j.mu.Lock()
	defer j.mu.Unlock()
	all := []Job{}
	for _, o := range j.jobs {
		all = append(all, o.Job)
	}
	slices.SortFunc(all, func(a, b Job) int {
		return cmp.Or(b.Started.Compare(a.Started), strings.Compare(a.ID, b.ID))
	})
	return all
}

// Cancel ends a job soon, what was begun of it first. It reports whether there is
// one of this id.
func (j *Jobs) Cancel(id string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	o, ok := j.jobs[id]
	if ok {
		o.cancel()
	}
	return ok
}

// Close cancels all jobs and returns when they have ended.
func (j *Jobs) Close() {
	j.mu.Lock()
	j.closed = true
	for _, o := range j.jobs {
		o.cancel()
	}
	j.mu.Unlock()
	j.running.Wait()
}
