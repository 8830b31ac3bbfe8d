package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/tree/build"
)

const (
	// publishInterval is the minimum time between two publications: a burst of
	// changes becomes a few trees.
	publishInterval = 20 * time.Millisecond
	// retryInterval is the time until the next attempt after a failed publication if
	// nothing changes.
	retryInterval = time.Second
	// maxPending is the maximum number of event times that wait for a publication,
	// which may fail for a long time. The oldest ones are kept because they show the
	// longest delays.
	maxPending = 4096
	// checkInterval is the time between two checks of the published tree while
	// nothing changes.
	checkInterval = 10 * time.Second
	// remembered is the number of publications whose contents are kept. A dataplane
	// can be behind by some publications.
	remembered = 64
)

// publisher publishes trees after changes of the state. One goroutine runs it.
// Other goroutines may use only the fields that mu guards.
type publisher struct {
	state    *state
	out      *statedir.Publisher
	stateDir string
	path     string
	metrics  *metrics
	log      logr.Logger
	// published is called after each publication. It must not block.
	published func(publication)

	builder *build.Builder
	// unpublished reports whether the builder has changes that are not in the
	// published tree. pending has the times of the events that led to them.
	pending     []time.Time
	unpublished bool
	// fault is the text of the last error that was logged.
	fault string

	// mu guards the fields below.
	mu   sync.Mutex
	last publication
	err  error
	// earlier has the publications before the last one, by generation modulo
	// remembered.
	earlier [remembered]publication
}

// publication describes a published tree.
type publication struct {
	generation uint64
	at         time.Time
	// took is the duration of compiling and publishing the tree.
	took time.Duration
	// size is in bytes.
	size int64
	// contains has, for each kind, the newest resource version in the tree.
	contains map[kind]uint64
}

func newPublisher(s *state, stateDir string, m *metrics, log logr.Logger) (*publisher, error) {
	out, err := statedir.NewPublisher(stateDir)
	if err != nil {
		return nil, err
	}
	return &publisher{
		state:    s,
		out:      out,
		stateDir: stateDir,
		path:     statedir.Current(stateDir),
		metrics:  m,
		log:      log,
		builder:  build.New(s.node),
		// The first tree is published even if it is empty, because the tree on disk
		// has the rules of an earlier agent.
		unpublished: true,
	}, nil
}

// run publishes until the context ends: the first change at once, further changes
// after publishInterval.
func (p *publisher) run(ctx context.Context) error {
	for {
		pause := time.NewTimer(publishInterval)
		p.step()
		select {
		case <-ctx.Done():
			return nil
		case <-pause.C:
		}
		interval := checkInterval
		if p.unpublished {
			interval = retryInterval
		}
		pause.Reset(interval)
		select {
		case <-ctx.Done():
			return nil
		case <-p.state.changed.C():
		case <-pause.C:
			p.checkPublished()
		}
	}
}

// checkPublished makes step publish the tree again if another program removed it,
// because a dataplane that starts would find none. A tree with a higher generation
// is from another agent that has newer objects, so it stays.
func (p *publisher) checkPublished() {
	if p.unpublished {
		return
	}
	found, err := statedir.Published(p.stateDir)
	if err == nil {
		_, err = os.Stat(p.path)
	}
	if last := p.lastPublication().generation; err != nil || found < last {
		p.unpublished = true
		p.log.Info("The tree is missing from the state directory: publishing it again", "generation", last)
	}
}

// step publishes the changes since the previous step, if there are any.
func (p *publisher) step() {
	err := p.publish()
	p.mu.Lock()
	p.err = err
	p.mu.Unlock()
	if err == nil {
		p.fault = ""
		return
	}
	p.metrics.failures.Inc()
	if err.Error() != p.fault {
		p.fault = err.Error()
		p.log.Error(err, "Publication failed: the previous tree remains enforced")
	}
}

func (p *publisher) publish() error {
	began := time.Now()
	step := p.state.step()
	if step.delta.Empty() && !p.unpublished {
		// The newer objects do not change the published tree.
		p.mu.Lock()
		p.last.contains = step.contains
		p.mu.Unlock()
		return nil
	}
	p.unpublished = true
	p.pending = append(p.pending, step.events[:min(len(step.events), maxPending-len(p.pending))]...)
	if err := p.builder.Apply(step.delta); err != nil {
		p.builder = build.New(p.state.node)
		p.state.restart()
		return fmt.Errorf("building tree: %w", err)
	}
	generation, err := p.out.Publish(p.builder)
	if err != nil {
		return err
	}
	now := publication{generation: generation, at: time.Now(), contains: step.contains}
	now.took = now.at.Sub(began)
	if info, err := os.Stat(p.path); err == nil {
		now.size = info.Size()
	}
	p.record(now)
	return nil
}

// record records a publication and reports it to the metrics, the log and the
// dataplane's poller.
func (p *publisher) record(now publication) {
	p.metrics.publish(now, p.pending)
	p.unpublished, p.pending = false, nil
	p.log.V(1).Info("Published", "generation", now.generation, "bytes", now.size, "took", now.took.String())
	p.mu.Lock()
	p.earlier[p.last.generation%remembered] = p.last
	p.last = now
	p.mu.Unlock()
	p.published(now)
}

// lastPublication returns the last publication of this agent, with generation 0
// before the first.
func (p *publisher) lastPublication() publication {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

// containedBy returns the newest resource versions in a generation. It returns nil
// if the generation is too old or if an earlier agent published it.
func (p *publisher) containedBy(generation uint64) map[kind]uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, known := range []publication{p.last, p.earlier[generation%remembered]} {
		if known.generation == generation {
			return known.contains
		}
	}
	return nil
}

// check is a readiness check: the last publication succeeded.
func (p *publisher) check(*http.Request) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.err != nil:
		return p.err
	case p.last.generation == 0:
		return errors.New("no tree is published yet: the caches have not synced")
	}
	return nil
}
