package engine

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/sluicenet/sluice/dataplane/tree"
)

// GenerationOf is a tree as the packet path sees it. The tree belongs to it.
func GenerationOf(t *tree.Tree) Generation {
	g := Generation{Number: t.Generation(), Judge: t, Close: t.Close}
	for pod := range t.Pods() {
		if pod.EgressIsolated {
			g.Isolated.Egress = append(g.Isolated.Egress, pod.Addresses...)
		}
		if pod.IngressIsolated {
			g.Isolated.Ingress = append(g.Isolated.Ingress, pod.Addresses...)
		}
	}
	return g
}

// Run enforces the newest tree of a state directory, in the network namespace
// of the calling thread, until the context ends or a worker fails. It waits for
// a first tree and changes nothing before. What started gives is closed at the
// end, before the workers.
func Run(ctx context.Context, stateDir string, config Config, started func(*Engine) (io.Closer, error)) (err error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	r := runner{config: config, started: started, stop: stop}
	defer func() { err = errors.Join(err, r.close()) }()
	if _, err := os.Lstat(filepath.Join(stateDir, "tree", "current")); errors.Is(err, os.ErrNotExist) {
		config.Log.Info("waiting for a first tree; no packet is touched before", "stateDir", stateDir)
	}
	if err := tree.Watch(ctx, stateDir, func(t *tree.Tree, err error) { r.take(ctx, t, err) }); err != nil {
		return err
	}
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// runner takes one tree after the other.
type runner struct {
	config  Config
	started func(*Engine) (io.Closer, error)
	stop    context.CancelCauseFunc
	engine  *Engine
	closer  io.Closer
}

func (r *runner) take(ctx context.Context, t *tree.Tree, err error) {
	switch {
	case err != nil:
		r.config.Log.Error(err, "refusing a published tree; the one before stays in force")
	case r.engine == nil:
		if err := r.start(ctx, t); err != nil {
			r.stop(err)
		}
	default:
		g := GenerationOf(t)
		if err := r.engine.Use(g); err != nil {
			// It is started again, by whoever started it, from the beginning.
			r.stop(err)
		}
	}
}

func (r *runner) start(ctx context.Context, t *tree.Tree) error {
	e, err := Start(r.config, GenerationOf(t))
	if err != nil {
		return errors.Join(err, t.Close())
	}
	r.engine = e
	go func() {
		select {
		case err := <-e.Failed():
			r.stop(err)
		case <-ctx.Done():
		}
	}()
	r.closer, err = r.started(e)
	return err
}

func (r *runner) close() error {
	var err error
	if r.closer != nil {
		err = r.closer.Close()
	}
	if r.engine != nil {
		err = errors.Join(err, r.engine.Close())
		r.config.Log.Info("stopped; the rules stay in force", "failurePolicy", r.config.FailurePolicy)
	}
	return err
}
