package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

// edge is the node label that the Enforcer selects during leaveAndReturn.
const edge = "sluice-e2e/edge"

// leaveAndReturn removes from all nodes the label that the Enforcer selects, and checks that
// the nodes remove their rules. It then adds the label again and checks that the nodes enforce
// policies again.
func (c *cluster) leaveAndReturn(ctx context.Context) error {
	for _, do := range []func(context.Context) error{
		c.mark, func(ctx context.Context) error { return c.selectNodes(ctx, fmt.Sprintf(`{%q: "true"}`, edge)) }, c.verdicts,
		c.unmark, c.freed, c.reachable,
		c.mark, c.available, func(ctx context.Context) error { return c.policiesEnforced(ctx, true) }, c.verdicts,
		func(ctx context.Context) error { return c.selectNodes(ctx, "null") }, c.unmark, c.verdicts,
	} {
		if err := do(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (c *cluster) mark(ctx context.Context) error {
	_, err := c.kubectl(ctx, "", "label", "nodes", "--all", "--overwrite", edge+"=true")
	return err
}

func (c *cluster) unmark(ctx context.Context) error {
	_, err := c.kubectl(ctx, "", "label", "nodes", "--all", edge+"-")
	return err
}

// selectNodes sets the nodeSelector of the Enforcer to a value in JSON. It then waits until the
// Enforcer is available.
func (c *cluster) selectNodes(ctx context.Context, selector string) error {
	patch := fmt.Sprintf(`{"spec": {"nodeSelector": %s}}`, selector)
	if _, err := c.kubectl(ctx, "", "patch", "enforcer", v1alpha1.EnforcerName, "--type=merge", "-p", patch); err != nil {
		return err
	}
	return c.available(ctx)
}

// freed waits until all nodes are uninstalled: no NodeEnforcer exists, no uninstall DaemonSet
// exists, and no Sluice pod runs on a node. It then waits until no policy is enforced.
func (c *cluster) freed(ctx context.Context) error {
	err := until(ctx, func(ctx context.Context) error {
		for _, arguments := range [][]string{
			{"get", "nodeenforcers", "-o", "name"},
			{"-n", "sluice-system", "get", "daemonset", "sluice-uninstall", "--ignore-not-found", "-o", "name"},
			{"-n", "sluice-system", "get", "pods", "-l", "app.kubernetes.io/component in (node, uninstall)", "-o", "name"},
		} {
			if out, err := c.kubectl(ctx, "", arguments...); err != nil || out != "" {
				return errors.Join(fmt.Errorf("these objects still exist: %q", out), err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.policiesEnforced(ctx, false)
}
