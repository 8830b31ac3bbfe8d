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
	// publishInterval is the shortest time from one publication to the next: a
	// burst of changes becomes a few trees.
	publishInterval = 20 * time.Millisecond
	// retryInterval is the time to the next try after a publication that failed
	// while nothing changes.
	retryInterval = time.Second
	// maxPending is how many events' times may wait for a publication: it may fail
	// for long. The oldest stay, for theirs are the longest times.
	maxPending = 4096
	// lookInterval is the time from one look at what is published to the next
	// while nothing changes.
	lookInterval = 10 * time.Second
	// remembered is of how many publications it is known what they contain: of
	// those that a dataplane can be behind by.
	remembered = 64
)

// publisher turns the world's changes into published trees. All but its last
// publication belongs to the goroutine that runs it.
type publisher struct {
	world    *world
	out      *statedir.Publisher
	stateDir string
	path     string
	metrics  *metrics
	log      logr.Logger
	// published is told of each publication. It must not block.
	published func(publication)

	builder *build.Builder
	// pending are the times of the events behind changes that the builder has
	// and no published tree. unpublished says whether there are such changes.
	pending     []time.Time
	unpublished bool
	// fault is the last error that was logged.
	fault string

	mu    sync.Mutex
	last  publication
	error error
	// before are the publications before the last one, by generation modulo
	// remembered.
	before [remembered]publication
}

// publication is a tree that was published.
type publication struct {
	generation uint64
	at         time.Time
	took       time.Duration
	// size is in bytes.
	size int64
	// contains says, for each kind, how new its objects are.
	contains map[kind]uint64
}

func newPublisher(w *world, stateDir string, m *metrics, log logr.Logger) (*publisher, error) {
	out, err := statedir.NewPublisher(stateDir)
	if err != nil {
		return nil, err
	}
	return &publisher{
		world:    w,
		out:      out,
		stateDir: stateDir,
		path:     statedir.Current(stateDir),
		metrics:  m,
		log:      log,
		builder:  build.New(w.node),
		// The first tree is published even if it holds nothing: it says what
		// holds now, and the one on disk what held for an agent before.
		unpublished: true,
	}, nil
}

// run publishes until the context ends: the first change at once, those that
// follow after publishInterval.
func (p *publisher) run(ctx context.Context) error {
	for {
		pause := time.NewTimer(publishInterval)
		p.step()
		select {
		case <-ctx.Done():
			return nil
		case <-pause.C:
		}
		again := lookInterval
		if p.unpublished {
			again = retryInterval
		}
		pause.Reset(again)
		select {
		case <-ctx.Done():
			return nil
		case <-p.world.wake:
		case <-pause.C:
			p.look()
		}
	}
}

// look has the tree published again that somebody removed, for a dataplane that
// starts would find none. A newer one is of another agent, which knows better.
func (p *publisher) look() {
	if p.unpublished {
		return
	}
	found, err := statedir.Published(p.stateDir)
	if err == nil {
		_, err = os.Stat(p.path)
	}
	if last := p.lastPublication().generation; err != nil || found < last {
		p.unpublished = true
		p.log.Info("The tree is gone from the state directory: publishing it again", "generation", last)
	}
}

// step publishes what changed, if anything did.
func (p *publisher) step() {
	err := p.publish()
	p.mu.Lock()
	p.error = err
	p.mu.Unlock()
	if err == nil {
		p.fault = ""
		return
	}
	p.metrics.failures.Inc()
	if err.Error() != p.fault {
		p.fault = err.Error()
		p.log.Error(err, "Publication failed: the tree before stays in force")
	}
}

func (p *publisher) publish() error {
	began := time.Now()
	step := p.world.step()
	if step.delta.Empty() && !p.unpublished {
		// What is published holds for the newer objects, too.
		p.mu.Lock()
		p.last.contains = step.contains
		p.mu.Unlock()
		return nil
	}
	p.unpublished = true
	p.pending = append(p.pending, step.events[:min(len(step.events), maxPending-len(p.pending))]...)
	if err := p.builder.Apply(step.delta); err != nil {
		p.builder = build.New(p.world.node)
		p.world.restart()
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
	p.metrics.publish(now, p.pending)
	p.unpublished, p.pending = false, nil
	p.log.V(1).Info("Published", "generation", generation, "bytes", now.size, "took", now.took.String())
	p.mu.Lock()
	p.before[p.last.generation%remembered] = p.last
	p.last = now
	p.mu.Unlock()
	p.published(now)
	return nil
}

// lastPublication gives the last publication of this agent, with generation 0
// before the first.
func (p *publisher) lastPublication() publication {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

// containedBy says how new the objects of a generation are, nil if it is not
// known any more, or was published by an agent before.
func (p *publisher) containedBy(generation uint64) map[kind]uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, known := range []publication{p.last, p.before[generation%remembered]} {
		if known.generation == generation {
			return known.contains
		}
	}
	return nil
}

// check is the readiness of publication.
func (p *publisher) check(*http.Request) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.error != nil:
		return p.error
	case p.last.generation == 0:
		return errors.New("no tree is published yet: the caches have not synced")
	}
	return nil
}
