package engine

import (
	"context"
	"errors"
	"sync"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/sandbox"
	"github.com/sluicenet/sluice/dataplane/statedir"
)

// followSandboxes publishes the pod sandboxes of the node for the agent, and again each
// time they change, until the context ends. If no directory of CNI results is configured,
// it publishes only that. It finds the interfaces of pods in the network namespace of the
// calling thread.
func (d *Dataplane) followSandboxes(ctx context.Context, publishing *sync.WaitGroup) error {
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

// setSandboxes publishes pod sandboxes and passes them to the engine. If it returns an
// error, the watcher calls it again.
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
	err := statedir.WriteSandboxes(d.stateDir, s)
	if err != nil {
		log.Error(err, "the agent does not receive the sandboxes of new pods")
	}
	return errors.Join(err, d.useSandboxes(s))
}

// useSandboxes passes the pod sandboxes of the node to the engine.
func (d *Dataplane) useSandboxes(s report.Sandboxes) error {
	d.sandboxesMu.Lock()
	defer d.sandboxesMu.Unlock()
	d.sandboxes = &s
	if e := d.engine.Load(); e != nil {
		return e.SetSandboxes(s)
	}
	return nil
}
