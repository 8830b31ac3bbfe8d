package engine

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/tree"
)

// Dataplane enforces the newest tree of a state directory.
type Dataplane struct {
	stateDir string
	config   Config
	started  time.Time
	ready    chan struct{}
	setReady func()
	// stop makes Run return an error.
	stop context.CancelCauseFunc

	// sandboxReason and skippedReason are the reasons that were logged last. Only the
	// goroutine that publishes sandboxes uses them.
	sandboxReason, skippedReason string

	engine   atomic.Pointer[Engine]
	rejected atomic.Pointer[report.RejectedTree]
}

// New returns a dataplane. The dataplane does nothing until Run is called.
func New(stateDir string, config Config) *Dataplane {
	d := &Dataplane{stateDir: stateDir, config: config, started: time.Now(), ready: make(chan struct{})}
	d.setReady = sync.OnceFunc(func() { close(d.ready) })
	return d
}

// Run enforces trees in the network namespace of the calling thread, until the context
// ends or a worker fails. Run changes nothing in the kernel before it receives a first
// tree. It publishes the pod sandboxes of the node from the beginning.
//
// Call Close after Run has returned. Status can be called until Close, so the server that
// serves the status can be closed between Run and Close.
func (d *Dataplane) Run(ctx context.Context) error {
	var publishing sync.WaitGroup
	defer publishing.Wait()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	d.stop = stop
	if err := d.followSandboxes(ctx, &publishing); err != nil {
		return err
	}
	if _, err := os.Lstat(statedir.Current(d.stateDir)); errors.Is(err, os.ErrNotExist) {
		d.config.Log.Info("waiting for a first tree; packets are not affected before", "stateDir", d.stateDir)
		d.setReady()
	}
	if err := statedir.Watch(ctx, d.stateDir, func(t *tree.Tree, err error) { d.handle(ctx, t, err) }); err != nil {
		return err
	}
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// Ready returns a channel that is closed when the dataplane enforces a tree, waits for a
// first tree, or has rejected a tree. Wait for this channel before serving the status.
// Before the channel is closed, another dataplane may still run on this node, and then
// this dataplane cannot bind the queues.
func (d *Dataplane) Ready() <-chan struct{} { return d.ready }

// handle enforces a tree. If err is not nil, it rejects the tree instead.
func (d *Dataplane) handle(ctx context.Context, t *tree.Tree, err error) {
	if err != nil {
		d.reject(err)
		return
	}
	d.rejected.Store(nil)
	if e := d.engine.Load(); e != nil {
		err = e.Use(GenerationOf(t))
	} else {
		err = d.start(ctx, t)
	}
	if err != nil {
		// The process exits and is restarted.
		d.stop(err)
	}
}

// reject records why a tree cannot be used. The tree in use stays.
func (d *Dataplane) reject(reason error) {
	d.config.Log.Error(reason, "rejected a published tree; the previous one stays in use")
	d.rejected.Store(&report.RejectedTree{At: time.Now(), Reason: reason.Error()})
	d.setReady()
}

func (d *Dataplane) start(ctx context.Context, t *tree.Tree) error {
	e, err := Start(d.config, GenerationOf(t))
	if err != nil {
		return errors.Join(err, t.Close())
	}
	d.engine.Store(e)
	go func() {
		select {
		case err := <-e.Failed():
			d.stop(err)
		case <-ctx.Done():
		}
	}()
	d.setReady()
	return nil
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
	s.Started, s.Rejected = d.started, d.rejected.Load()
	var err error
	s.Published, err = statedir.Published(d.stateDir)
	if err != nil && s.Rejected == nil {
		s.Rejected = &report.RejectedTree{At: time.Now(), Reason: err.Error()}
	}
	return s, nil
}

// Close ends the workers and leaves the rules installed. Run must have returned before.
func (d *Dataplane) Close() error {
	e := d.engine.Load()
	if e == nil {
		return nil
	}
	err := e.Close()
	d.config.Log.Info("stopped; the rules stay installed", "failurePolicy", d.config.FailurePolicy)
	return err
}
