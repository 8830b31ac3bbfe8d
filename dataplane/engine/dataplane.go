package engine

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicenet/sluice/dataplane/generation"
	"github.com/sluicenet/sluice/dataplane/hits"
	"github.com/sluicenet/sluice/dataplane/hold"
	"github.com/sluicenet/sluice/dataplane/masks"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/ruleset"
	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/tree"
	"github.com/sluicenet/sluice/internal/trigger"
)

// Endpoints serve the status of the dataplane that holds the lock on the table. The dataplane
// calls the methods of its Endpoints one at a time.
type Endpoints interface {
	// Acquired is called when this dataplane has acquired the lock. Acquired binds resources
	// that only one process on the node can bind, such as an address.
	Acquired() error
	// Settled is called when this dataplane has taken over from its predecessor. From then on,
	// the status of this dataplane replaces the status of the predecessor.
	Settled() error
	// Yielded is called before this dataplane releases the lock for a successor. Yielded
	// releases the resources that Acquired has bound.
	Yielded()
	// Replaced is called when a successor has taken over from this dataplane.
	Replaced()
}

// Dataplane enforces the newest tree of a state directory.
type Dataplane struct {
	stateDir  string
	config    Config
	endpoints Endpoints
	started   time.Time
	// stop is a function that makes Run return an error.
	stop context.CancelCauseFunc

	// sandboxReason and skippedReason are the last reasons that were logged. Only the
	// goroutine that publishes sandboxes uses these fields.
	sandboxReason, skippedReason string
	// mu guards changes of the fields `engine` and `waiting`.
	mu     sync.Mutex
	engine atomic.Pointer[Engine]
	// waiting is the newest tree as long as no engine is open that can enforce it. arrived is a
	// trigger that is set when such a tree arrives.
	waiting *tree.Tree
	arrived trigger.Trigger

	// sandboxesMu guards the `sandboxes` field and serializes calls of Engine.SetSandboxes.
	// sandboxes contains the pod sandboxes of the node, or nil until the CNI results have been
	// read. publishMu serializes publications of the sandboxes.
	sandboxesMu, publishMu sync.Mutex
	sandboxes              *report.Sandboxes
	// routed contains the pod addresses from the latest call of Config.routed. It is nil until an
	// engine has read the routes. routesChanged is set when routed changes.
	routed        atomic.Pointer[[]netip.Addr]
	routesChanged trigger.Trigger

	rejected atomic.Pointer[report.RejectedTree]
	standby  atomic.Bool
}

// New returns a dataplane. The dataplane does nothing until Run is called.
func New(stateDir string, config Config, endpoints Endpoints) *Dataplane {
	config.Peers, config.Hits = hold.NewPeers(), hits.New()
	d := &Dataplane{
		stateDir: stateDir, config: config, endpoints: endpoints, started: time.Now(),
		arrived: trigger.New(), routesChanged: trigger.New(),
	}
	d.config.routed, d.config.masks = d.setRouted, masks.NewRecord(stateDir)
	return d
}

// Run enforces trees in the network namespace of the calling thread, until the context ends or
// a worker fails. If there is no tree yet, Run installs rules that contain no pods, so that new
// connections of pods are held until the first tree arrives. Run publishes the pod sandboxes of
// the node from the start.
//
// If another dataplane of the node enforces policies, Run takes over from that dataplane. If a
// later dataplane takes over from this one, Run waits until the later dataplane ends, and then
// takes over again.
//
// Call Close after Run has returned. Status can be called until Close.
func (d *Dataplane) Run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	ctx, stop := context.WithCancelCause(ctx)
	d.stop = stop
	defer stop(nil)
	if err := masks.Check(d.config.Marks); err != nil {
		return err
	}
	if err := d.followSandboxes(ctx, &running); err != nil {
		return err
	}
	running.Go(func() { d.followAgent(ctx) })
	running.Go(func() { d.config.Hits.Run(ctx) })
	running.Go(func() {
		if err := d.config.Peers.Follow(ctx, d.stateDir, d.config.Log); err != nil {
			stop(err)
		}
	})
	if !d.hasTree() && d.config.Hold == 0 {
		d.config.Log.Info("waiting for a first tree; packets are not affected before", "stateDir", d.stateDir)
	}
	running.Go(func() {
		if err := statedir.Watch(ctx, d.stateDir, d.handle); err != nil {
			stop(err)
		}
	})
	if err := d.lead(ctx); err != nil {
		return err
	}
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// handle enforces the tree t. If err is not nil, handle records a rejected tree instead.
func (d *Dataplane) handle(t *tree.Tree, err error) {
	if err != nil {
		d.reject(err)
		return
	}
	d.rejected.Store(nil)
	d.mu.Lock()
	defer d.mu.Unlock()
	if e := d.engine.Load(); e != nil {
		if err := e.Use(generation.Of(t)); err != nil {
			// The call of stop makes Run return err. The process then exits and is restarted.
			d.stop(err)
		}
		return
	}
	if d.waiting != nil {
		if err := d.waiting.Close(); err != nil {
			d.config.Log.Error(err, "closing a tree that was replaced before it was used")
		}
	}
	d.waiting = t
	d.arrived.Set()
}

// reject records why a tree cannot be used. The dataplane continues with the previous tree.
func (d *Dataplane) reject(reason error) {
	d.config.Log.Error(reason, "rejected a published tree; the previous one stays in use")
	d.rejected.Store(&report.RejectedTree{At: time.Now(), Reason: reason.Error()})
}

// open opens an engine for the waiting tree. It returns nil if no tree has arrived yet, and
// queue.ErrTaken if both ranges of queues are in use.
func (d *Dataplane) open(ctx context.Context) (*Engine, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if e := d.engine.Load(); e != nil || d.waiting == nil {
		return e, nil
	}
	e, err := Open(d.config, generation.Of(d.waiting))
	if err != nil {
		return nil, err
	}
	d.waiting = nil
	return e, d.use(ctx, e)
}

// hasTree reports whether a tree has been published. It does not check whether the tree is
// valid.
func (d *Dataplane) hasTree() bool {
	_, err := os.Lstat(statedir.Current(d.stateDir))
	return err == nil
}

// openWithoutTree opens an engine that holds new connections of pods until the first tree arrives.
// It returns nil in two cases: if a tree may already exist, or if rules of an earlier dataplane
// are installed, because these rules still isolate pods.
func (d *Dataplane) openWithoutTree(ctx context.Context) (*Engine, error) {
	if d.config.Hold == 0 || d.hasTree() && d.rejected.Load() == nil {
		return nil, nil // There is no engine yet.
	}
	if exists, err := ruleset.Exists(); err != nil || exists {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.waiting != nil {
		return nil, nil // Return nil, because the caller opens an engine for this tree.
	}
	e, err := Open(d.config, generation.WithoutTree())
	if err != nil {
		return nil, err
	}
	d.config.Log.Info("waiting for a first tree; new connections of pods are held until then", "stateDir", d.stateDir)
	return e, d.use(ctx, e)
}

// openFirst opens an engine for the waiting tree. If there is no tree and the `starting`
// parameter is true, openFirst opens an engine without a tree.
func (d *Dataplane) openFirst(ctx context.Context, starting bool) (*Engine, error) {
	e, err := d.open(ctx)
	if e == nil && err == nil && starting {
		return d.openWithoutTree(ctx)
	}
	return e, err
}

// use makes e the engine of the dataplane. The caller must hold mu.
func (d *Dataplane) use(ctx context.Context, e *Engine) error {
	d.sandboxesMu.Lock()
	defer d.sandboxesMu.Unlock()
	d.engine.Store(e)
	go func() {
		select {
		case err := <-e.Failed():
			d.stop(err)
		case <-ctx.Done():
		}
	}()
	if d.sandboxes == nil {
		return nil
	}
	return e.SetSandboxes(*d.sandboxes)
}

// agentInterval is the time between two checks for a running agent.
const agentInterval = time.Second

// followAgent reports to the engine whether an agent runs, until the context ends.
func (d *Dataplane) followAgent(ctx context.Context) {
	again := time.NewTicker(agentInterval)
	defer again.Stop()
	for {
		alive, err := statedir.AgentAlive(d.stateDir)
		if err != nil {
			d.config.Log.V(1).Info("cannot find out whether an agent runs", "reason", err.Error())
		}
		if e := d.engine.Load(); e != nil {
			e.SetAgentGone(!alive && err == nil)
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
	}
}

// Status returns the current status.
func (d *Dataplane) Status() (report.Status, error) {
	s := statusOf(d.config)
	if e := d.engine.Load(); e != nil {
		var err error
		if s, err = e.Status(); err != nil {
			return s, err
		}
	}
	s.Started, s.Rejected, s.Standby = d.started, d.rejected.Load(), d.standby.Load()
	var err error
	s.Published, err = statedir.Published(d.stateDir)
	if err != nil && s.Rejected == nil {
		s.Rejected = &report.RejectedTree{At: time.Now(), Reason: err.Error()}
	}
	return s, nil
}

// Hits returns the counters of all rules.
func (d *Dataplane) Hits() *report.Hits { return d.config.Hits.Report() }

// Close stops the workers and leaves the rules installed. Call Close only after Run has
// returned.
func (d *Dataplane) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.waiting != nil {
		return d.waiting.Close()
	}
	e := d.engine.Load()
	if e == nil {
		return nil
	}
	err := e.Close()
	d.config.Log.Info("stopped; the rules stay installed", "failurePolicy", d.config.FailurePolicy)
	return err
}
