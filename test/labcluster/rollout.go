package labcluster

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/internal/health"
	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/process"
)

// Health runs a health check of the newest container with the given name and returns the
// result. The `path` parameter is /healthz or /readyz. A kubelet gets the same result from the
// probe of the container.
func (n *Node) Health(ctx context.Context, container, path string) error {
	return health.Check(ctx, "unix:"+filepath.Join(n.health[container+"-health"], container+".sock"), path)
}

// WaitReady waits until the newest container with the given name is ready.
func (n *Node) WaitReady(ctx context.Context, container string) error {
	ctx, cancel := context.WithTimeout(ctx, enforceTimeout)
	defer cancel()
	err := eventually.Poll(ctx, func(ctx context.Context) error { return n.Health(ctx, container, "/readyz") })
	if err != nil {
		return fmt.Errorf("the new %s is not ready: %w\n%s", container, err, n.dataplane.Log())
	}
	return nil
}

// Rollout replaces the containers of the node's pod. It uses the same order as the DaemonSet
// controller and the kubelet for the given strategy. With strategy Surge, it first starts the
// new containers. When they are ready, it stops the old containers.
func (n *Node) Rollout(ctx context.Context, strategy v1alpha1.UpdateStrategyType) error {
	old := []*process.Process{n.agent, n.dataplane}
	if strategy == v1alpha1.UpdateInPlace {
		if err := stopAll(old); err != nil {
			return err
		}
	}
	if err := errors.Join(n.Prepare(), n.StartDataplane(), n.StartAgent()); err != nil {
		return err
	}
	for _, container := range []string{"agent", "dataplane"} {
		if err := n.WaitReady(ctx, container); err != nil {
			return err
		}
	}
	if strategy == v1alpha1.UpdateInPlace {
		return nil
	}
	return stopAll(old)
}

func stopAll(processes []*process.Process) error {
	var errs []error
	for _, p := range processes {
		errs = append(errs, p.Stop())
	}
	return errors.Join(errs...)
}
