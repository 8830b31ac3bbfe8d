package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/status"
	"github.com/sluicenet/sluice/internal/trigger"
)

const (
	// firstPoll is the time from a publication to the first read of the dataplane's status. The
	// dataplane needs this time to map the tree. Until the dataplane acknowledges the publication,
	// each interval between two reads is twice as long as the previous one, up to maxPoll.
	firstPoll = 20 * time.Millisecond
	maxPoll   = 5 * time.Second
	// pollTimeout limits the duration of one status read.
	pollTimeout = 2 * time.Second
)

// dataplane polls the status of the node's dataplane process, which may start and end at
// any time.
type dataplane struct {
	stateDir string
	metrics  *metrics
	log      logr.Logger
	// publications is a trigger that is set after each change of the `newest` field.
	publications trigger.Trigger

	mu sync.Mutex
	// newest is the newest publication. Its generation is 0 before the first publication.
	newest publication
	// last is the newest dataplane status, or nil if the dataplane does not respond.
	last *report.Status
}

func newDataplane(stateDir string, m *metrics, log logr.Logger) *dataplane {
	return &dataplane{stateDir: stateDir, metrics: m, log: log, publications: trigger.New()}
}

// published records a publication. The `run` method then polls until the dataplane has acknowledged
// it.
func (d *dataplane) published(p publication) {
	d.mu.Lock()
	d.newest = p
	d.mu.Unlock()
	d.publications.Set()
}

func (d *dataplane) newestPublication() publication {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.newest
}

// run polls the dataplane until the context ends.
func (d *dataplane) run(ctx context.Context) error {
	var newest publication
	acknowledged := uint64(0)
	interval := maxPoll
	for {
		now := d.poll(ctx)
		switch {
		case newest.generation == 0 || acknowledged == newest.generation:
			interval = maxPoll
		case now != nil && now.Generation >= newest.generation:
			acknowledged = newest.generation
			d.metrics.acknowledgement.Observe(time.Since(newest.at).Seconds())
			interval = maxPoll
		default:
			interval = min(2*interval, maxPoll)
		}
		timer := time.NewTimer(interval)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-d.publications.C():
			newest = d.newestPublication()
			interval = firstPoll
			timer.Reset(firstPoll)
			select {
			case <-ctx.Done():
				return nil
			case <-timer.C:
			}
		case <-timer.C:
		}
	}
}

// poll reads the status of the dataplane once. It returns nil if the dataplane does not
// respond.
func (d *dataplane) poll(ctx context.Context) *report.Status {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	s, err := status.Read(ctx, d.stateDir)
	now := &s
	if err != nil {
		now = nil
		d.log.V(1).Info("The dataplane does not respond", "reason", err.Error())
		d.metrics.dataplane.Set(0)
	} else {
		d.metrics.dataplane.Set(1)
		d.metrics.acknowledged.Set(float64(s.Generation))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if (d.last == nil) != (now == nil) {
		d.log.Info("Dataplane", "responds", now != nil)
	}
	d.last = now
	return now
}

// errFormat reports that the running dataplane cannot read the trees of this agent.
var errFormat = errors.New("waiting for a newer dataplane")

// firstFormat is the only tree format of a dataplane whose status lists no formats.
const firstFormat = 2

// checkFormat checks that the running dataplane can read a tree format. If the dataplane cannot,
// checkFormat returns an error that wraps errFormat. If no dataplane responds, checkFormat returns
// nil.
func (d *dataplane) checkFormat(format uint64) error {
	if s := d.status(); s != nil && slices.Contains(formatsOf(s), format) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), pollTimeout)
	defer cancel()
	s := d.poll(ctx)
	if s == nil || slices.Contains(formatsOf(s), format) {
		return nil
	}
	return fmt.Errorf("%w: the running one reads tree formats %v, and this agent publishes format %d", errFormat, formatsOf(s), format)
}

func formatsOf(s *report.Status) []uint64 {
	if len(s.TreeFormats) == 0 {
		return []uint64{firstFormat}
	}
	return s.TreeFormats
}

// status returns the newest dataplane status, or nil if the dataplane does not respond.
func (d *dataplane) status() *report.Status {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.last
}
