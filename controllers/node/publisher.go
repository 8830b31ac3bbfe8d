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
	// publishInterval is the minimum time between two publications. It limits the number of
	// trees during a burst of changes.
	publishInterval = 20 * time.Millisecond
	// retryInterval is the time between a failed publication and the next attempt if no object
	// changes in between.
	retryInterval = time.Second
	// maxPending is the maximum number of event times that are kept for the next
	// publication. Without a limit, they would use more and more memory while publications
	// fail. The oldest times are kept, because they show the longest delays.
	maxPending = 4096
	// checkInterval is the time between two checks of the published tree while no object
	// changes.
	checkInterval = 10 * time.Second
	// remembered is the number of publications whose contents the publisher remembers. It
	// is above 1 because the dataplane can be several publications behind.
	remembered = 64
)

// publisher publishes a tree after changes of the state. One goroutine runs the publisher.
// Other goroutines may use only the fields that mu guards.
type publisher struct {
	state    *state
	out      *statedir.Publisher
	stateDir string
	path     string
	metrics  *metrics
	log      logr.Logger
	// published is a function that is called after each publication. It must not block.
	published func(publication)

	builder *build.Builder
	// unpublished reports whether the builder contains changes that are not in the
	// published tree. pending contains the times of the events that caused these changes.
	pending     []time.Time
	unpublished bool
	// fault is the text of the last logged error. It prevents repeated log lines.
	fault string

	// checkFormat returns an error if the running dataplane cannot read trees of the given format.
	checkFormat func(format uint64) error

	// mu guards the fields below.
	mu   sync.Mutex
	last publication
	err  error
	// mayPublish is true if this agent may publish. standsBy is true while the builder is up to
	// date but this agent may not publish.
	mayPublish, standsBy bool
	// waitReason is the reason why this agent may not publish yet, although no other agent of the
	// node publishes. It is nil if there is no such reason.
	waitReason error
	// earlier stores the publications before the last one, each at the index `generation %
	// remembered`.
	earlier [remembered]publication
}

// publication describes a published tree.
type publication struct {
	generation uint64
	at         time.Time
	// took is the duration of compiling and publishing the tree.
	took time.Duration
	// size is the size of the tree in bytes.
	size int64
	// contains maps each kind to the newest resource version that the tree contains.
	contains map[kind]uint64
	// enforced contains the digests of the policies that select a pod on the node.
	enforced []byte
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
		// The first tree is published even if it is empty, because the tree on disk may
		// contain the rules of an earlier agent.
		unpublished: true,
	}, nil
}

// run publishes trees until the context ends. It publishes the first change at once and further
// changes at intervals of at least publishInterval.
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

// If another program removed the published tree, checkPublished makes the `step` method publish
// it again. Otherwise, a dataplane that starts later would find no tree. A tree with a higher
// generation stays in place, because another agent with newer objects published it.
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

// step publishes the changes since the previous call, if there are any.
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
	p.metrics.lingering.Set(float64(step.lingering))
	if step.delta.Empty() && !p.unpublished {
		// The snapshot contains newer objects, but they do not change the published tree.
		p.mu.Lock()
		p.last.contains, p.last.enforced = step.contains, step.enforced
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
	if leads := p.leading(); !leads {
		// The leading agent receives these events too, and publishes the resulting changes.
		p.pending = nil
		return nil
	}
	if err := p.checkFormat(build.Format); err != nil {
		return err
	}
	generation, err := p.out.Publish(p.builder)
	if err != nil {
		return err
	}
	now := publication{generation: generation, at: time.Now(), contains: step.contains, enforced: step.enforced}
	now.took = now.at.Sub(began)
	if info, err := os.Stat(p.path); err == nil {
		now.size = info.Size()
	}
	p.record(now)
	return nil
}

// leading reports whether this agent may publish. If not, it records that the builder is up to
// date.
func (p *publisher) leading() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.standsBy = !p.mayPublish
	return p.mayPublish
}

// setWaitReason records why this agent may not publish yet, although no other agent publishes.
func (p *publisher) setWaitReason(reason error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waitReason = reason
}

// startLeading records that this agent may publish from now on.
func (p *publisher) startLeading() {
	p.mu.Lock()
	p.mayPublish, p.waitReason = true, nil
	p.mu.Unlock()
	p.state.changed.Set()
}

// record records a publication and reports it to the metrics, the log, and the poller of
// the dataplane's status.
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

// lastPublication returns the last publication of this agent. Its generation is 0 before
// the first publication.
func (p *publisher) lastPublication() publication {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

// publication returns the publication of a generation. It returns false if the generation is
// too old or if an earlier agent published it.
func (p *publisher) publication(generation uint64) (publication, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, known := range []publication{p.last, p.earlier[generation%remembered]} {
		if known.generation == generation {
			return known, true
		}
	}
	return publication{}, false
}

// failure returns the error of the last attempt to publish, or nil if it succeeded.
func (p *publisher) failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// check is a readiness check. It returns an error if the last publication failed.
func (p *publisher) check(*http.Request) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.err != nil:
		return p.err
	case p.waitReason != nil:
		return p.waitReason
	case p.standsBy:
		// This agent has compiled all objects, but the other agent on the node publishes. The
		// other agent ends when this agent is ready.
		return nil
	case p.last.generation == 0:
		return errors.New("no tree is published yet: the caches have not synced")
	}
	return nil
}
