package engine

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/tree"
)

// GenerationOf is a tree as the packet path sees it. The tree belongs to it.
func GenerationOf(t *tree.Tree) Generation {
	g := Generation{Number: t.Generation(), Node: t.Node(), Judge: t, Close: t.Close}
	for pod := range t.Pods() {
		g.Pods++
		if pod.EgressIsolated || pod.IngressIsolated {
			g.IsolatedPods++
		}
		if pod.EgressIsolated {
			g.Isolated.Egress = append(g.Isolated.Egress, pod.Addresses...)
		}
		if !pod.EgressIsolated || mayUseLink(t, pod.Addresses) {
			g.LinkLocal = append(g.LinkLocal, pod.Addresses...)
		}
		if pod.IngressIsolated {
			g.Isolated.Ingress = append(g.Isolated.Ingress, pod.Addresses...)
		}
	}
	return g
}

// mayUseLink says whether a pod that is isolated for egress may open connections
// of any kind to the other end of its link.
func mayUseLink(t *tree.Tree, addresses []netip.Addr) bool {
	const experimental = 253 // No port can match: RFC 3692.
	end := netip.MustParseAddr("fe80::1")
	i := slices.IndexFunc(addresses, netip.Addr.Is6)
	if i < 0 {
		// What the policies would say if the pod had an IPv6 address, nobody knows.
		i, end = 0, netip.MustParseAddr("169.254.1.1")
	}
	return len(addresses) > 0 &&
		t.Evaluate(flow.Flow{Src: addresses[i], Dst: end, Protocol: experimental}).Egress.Verdict == rule.Allow
}

// Run enforces the newest tree of a state directory, in the network namespace
// of the calling thread, until the context ends or a worker fails. It waits for
// a first tree and changes nothing before.
//
// It calls serve once, with what tells the status: when it enforces, or before
// that when it has to wait for a tree. What serve gives is closed at the end,
// before the workers.
func Run(ctx context.Context, stateDir string, config Config, serve func(status func() (report.Status, error)) (io.Closer, error)) (err error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	r := runner{stateDir: stateDir, config: config, serve: serve, stop: stop, began: time.Now()}
	defer func() { err = errors.Join(err, r.close()) }()
	if _, err := os.Lstat(statedir.Current(stateDir)); errors.Is(err, os.ErrNotExist) {
		config.Log.Info("waiting for a first tree; no packet is touched before", "stateDir", stateDir)
		if err := r.answer(); err != nil {
			return err
		}
	}
	if err := statedir.Watch(ctx, stateDir, func(t *tree.Tree, err error) { r.take(ctx, t, err) }); err != nil {
		return err
	}
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// runner takes one tree after the other.
type runner struct {
	stateDir string
	config   Config
	serve    func(func() (report.Status, error)) (io.Closer, error)
	stop     context.CancelCauseFunc
	began    time.Time
	closer   io.Closer

	engine  atomic.Pointer[Engine]
	refused atomic.Pointer[report.RejectedTree]
}

func (r *runner) take(ctx context.Context, t *tree.Tree, err error) {
	if err != nil {
		r.refuse(err)
		return
	}
	r.refused.Store(nil)
	if e := r.engine.Load(); e != nil {
		err = e.Use(GenerationOf(t))
	} else {
		err = r.start(ctx, t)
	}
	if err != nil {
		// It is started again, by whoever started it, from the beginning.
		r.stop(err)
	}
}

// refuse keeps to what is in force.
func (r *runner) refuse(reason error) {
	r.config.Log.Error(reason, "refusing a published tree; the one before stays in force")
	r.refused.Store(&report.RejectedTree{At: time.Now(), Reason: reason.Error()})
	if err := r.answer(); err != nil {
		r.stop(err)
	}
}

func (r *runner) start(ctx context.Context, t *tree.Tree) error {
	e, err := Start(r.config, GenerationOf(t))
	if err != nil {
		return errors.Join(err, t.Close())
	}
	r.engine.Store(e)
	go func() {
		select {
		case err := <-e.Failed():
			r.stop(err)
		case <-ctx.Done():
		}
	}()
	return r.answer()
}

// answer lets others ask from now on.
func (r *runner) answer() error {
	if r.closer != nil {
		return nil
	}
	closer, err := r.serve(r.status)
	if err != nil {
		return err // The closer may be a nil pointer in an interface that is not nil.
	}
	r.closer = closer
	return nil
}

// status is the engine's and what only the runner knows.
func (r *runner) status() (report.Status, error) {
	s := statusOf(r.config)
	if e := r.engine.Load(); e != nil {
		var err error
		if s, err = e.Status(); err != nil {
			return s, err
		}
	}
	s.Started, s.Rejected = r.began, r.refused.Load()
	var err error
	s.Published, err = statedir.Published(r.stateDir)
	if err != nil && s.Rejected == nil {
		s.Rejected = &report.RejectedTree{At: time.Now(), Reason: err.Error()}
	}
	return s, nil
}

func (r *runner) close() error {
	var err error
	if r.closer != nil {
		err = r.closer.Close()
	}
	if e := r.engine.Load(); e != nil {
		err = errors.Join(err, e.Close())
		r.config.Log.Info("stopped; the rules stay in force", "failurePolicy", r.config.FailurePolicy)
	}
	return err
}
