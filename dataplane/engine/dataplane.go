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
	// stop ends Run with an error.
	stop context.CancelCauseFunc

	engine   atomic.Pointer[Engine]
	rejected atomic.Pointer[report.RejectedTree]
}

// New returns a dataplane that does nothing until Run is called.
func New(stateDir string, config Config) *Dataplane {
	d := &Dataplane{stateDir: stateDir, config: config, started: time.Now(), ready: make(chan struct{})}
	d.setReady = sync.OnceFunc(func() { close(d.ready) })
	return d
}

// Run enforces trees in the network namespace of the calling thread, until the context
// ends or a worker fails. It changes nothing until there is a first tree.
//
// Call Close after Run has returned. Status works until then, so that a server of the
// status can be closed first.
func (d *Dataplane) Run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	d.stop = stop
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

// Ready returns a channel that is closed when the dataplane enforces a tree, waits for
// a first tree, or has rejected a tree. Wait for it before serving the status: until
// then, another dataplane may still be running on this node, and the queues that it
// uses cannot be bound.
func (d *Dataplane) Ready() <-chan struct{} { return d.ready }

// handle enforces a tree, or rejects it because of an error.
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

// reject records that a tree cannot be used. The current generation stays in use.
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

// Close ends the workers. The rules stay. Run must have returned.
func (d *Dataplane) Close() error {
	e := d.engine.Load()
	if e == nil {
		return nil
	}
	err := e.Close()
	d.config.Log.Info("stopped; the rules stay installed", "failurePolicy", d.config.FailurePolicy)
	return err
}
