package node

import (
	"context"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/status"
)

const (
	// askSoon is the time to the first question after a publication that is
	// not acknowledged; each further one takes twice as long, up to askLate.
	askSoon = 20 * time.Millisecond
	askLate = 5 * time.Second
	// askTimeout is how long an answer may take.
	askTimeout = 2 * time.Second
)

// dataplane follows the dataplane of this node by its socket. That there is
// none is a state like any other: it starts and ends on its own.
type dataplane struct {
	stateDir string
	metrics  *metrics
	log      logr.Logger
	news     chan publication

	mu   sync.Mutex
	last *report.Status
}

func newDataplane(stateDir string, m *metrics, log logr.Logger) *dataplane {
	return &dataplane{stateDir: stateDir, metrics: m, log: log, news: make(chan publication, 1)}
}

// published tells of a publication. Only the newest one counts.
func (d *dataplane) published(p publication) {
	select {
	case <-d.news:
	default:
	}
	d.news <- p
}

// run asks until the context ends.
func (d *dataplane) run(ctx context.Context) error {
	var newest publication
	acknowledged := uint64(0)
	wait := askLate
	for {
		now := d.ask(ctx)
		switch {
		case now == nil || newest.generation == 0 || acknowledged == newest.generation:
			wait = askLate
		case now.Generation >= newest.generation:
			acknowledged = newest.generation
			d.metrics.acknowledgement.Observe(time.Since(newest.at).Seconds())
			wait = askLate
		default:
			wait = min(2*wait, askLate)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case newest = <-d.news:
			// At once would be too soon: the dataplane has to map the tree.
			timer.Reset(askSoon)
			wait = askSoon
			select {
			case <-ctx.Done():
				return nil
			case <-timer.C:
			}
		case <-timer.C:
		}
	}
}

// ask gives the dataplane's status, nil when it does not answer.
func (d *dataplane) ask(ctx context.Context) *report.Status {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	s, err := status.Read(ctx, d.stateDir)
	now := &s
	if err != nil {
		now = nil
		d.log.V(1).Info("Dataplane does not answer", "reason", err.Error())
		d.metrics.dataplane.Set(0)
	} else {
		d.metrics.dataplane.Set(1)
		d.metrics.acknowledged.Set(float64(s.Generation))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if (d.last == nil) != (now == nil) {
		d.log.Info("Dataplane", "answers", now != nil)
	}
	d.last = now
	return now
}

// status gives the newest answer, nil when there is none.
func (d *dataplane) status() *report.Status {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.last
}
