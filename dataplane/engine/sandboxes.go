package engine

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/sandbox"
	"github.com/sluicenet/sluice/dataplane/statedir"
)

// followSandboxes publishes the pod sandboxes of the node for the agent whenever they change,
// until the context ends. If no directory of CNI results is configured, it publishes this fact
// and the routes to pods instead. It looks for pod interfaces in the network namespace of the
// calling thread.
func (d *Dataplane) followSandboxes(ctx context.Context, publishing *sync.WaitGroup) error {
	publishing.Go(func() { d.followRoutes(ctx) })
	if d.config.CNIResults == "" {
		return d.setSandboxes(report.Sandboxes{Reason: "no directory of CNI results is configured", Sandboxes: []report.Sandbox{}})
	}
	watcher, err := sandbox.Open(d.config.CNIResults)
	if err != nil {
		return err
	}
	publishing.Go(func() { watcher.Run(ctx, d.setSandboxes) })
	return nil
}

// setSandboxes publishes pod sandboxes and passes them to the engine. If setSandboxes returns
// an error, the watcher calls it again.
func (d *Dataplane) setSandboxes(s report.Sandboxes) error {
	log := d.config.Log.WithName("sandboxes")
	if s.Reason != d.sandboxReason || s.SkippedReason != d.skippedReason {
		d.sandboxReason, d.skippedReason = s.Reason, s.SkippedReason
		switch {
		case !s.Available:
			log.Info("CNI results are not read: new pods become known later", "reason", s.Reason)
		case s.Skipped > 0:
			log.Info("some CNI results cannot be used", "skipped", s.Skipped, "reason", s.SkippedReason)
		default:
			log.Info("CNI results can be read", "directory", d.config.CNIResults)
		}
	}
	d.sandboxesMu.Lock()
	d.sandboxes = &s
	d.sandboxesMu.Unlock()
	return errors.Join(d.publishSandboxes(), d.useSandboxes())
}

// publishSandboxes publishes the newest pod sandboxes for the agent.
func (d *Dataplane) publishSandboxes() error {
	d.publishMu.Lock()
	defer d.publishMu.Unlock()
	s := *d.newestSandboxes()
	if routed := d.routed.Load(); routed != nil && !s.Available {
		s.Routed = *routed
	}
	err := statedir.WriteSandboxes(d.stateDir, s)
	if err != nil {
		d.config.Log.WithName("sandboxes").Error(err, "the agent does not receive the sandboxes of new pods")
	}
	return err
}

// newestSandboxes returns the pod sandboxes of the node, or nil if they are not known yet.
func (d *Dataplane) newestSandboxes() *report.Sandboxes {
	d.sandboxesMu.Lock()
	defer d.sandboxesMu.Unlock()
	return d.sandboxes
}

// setRouted records the addresses of each pod that has its own link. Only one engine calls
// setRouted, and it makes one call at a time.
func (d *Dataplane) setRouted(addresses []netip.Addr) {
	before := d.routed.Load()
	if before == nil || !slices.Equal(*before, addresses) {
		known := append([]netip.Addr{}, addresses...)
		d.routed.Store(&known)
		d.routesChanged.Set()
	}
}

// routesRetry is the time between a failed publication of changed routes and the next attempt.
const routesRetry = time.Second

// followRoutes publishes the pod sandboxes again when the routes to pods change, until the
// context ends. While CNI results are available, followRoutes publishes nothing, because the
// agent does not need the routes.
func (d *Dataplane) followRoutes(ctx context.Context) {
	for {
		select {
		case <-d.routesChanged.C():
		case <-ctx.Done():
			return
		}
		if s := d.newestSandboxes(); s == nil || s.Available {
			continue
		}
		if err := d.publishSandboxes(); err != nil {
			time.AfterFunc(routesRetry, d.routesChanged.Set)
		}
	}
}

// useSandboxes passes the newest pod sandboxes to the engine.
func (d *Dataplane) useSandboxes() error {
	d.sandboxesMu.Lock()
	defer d.sandboxesMu.Unlock()
	if e := d.engine.Load(); e != nil {
		return e.SetSandboxes(*d.sandboxes)
	}
	return nil
}
