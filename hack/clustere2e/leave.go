package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

// edge is the node label that the Enforcer selects during leaveAndReturn.
const edge = "sluice-e2e/edge"

// elsewhere is the name of a Node object without a machine. While the nodeSelector matches no Node
// at all, the operator frees no node. Therefore the test creates this Node with the selected label.
const elsewhere = "sluice-e2e-elsewhere"

// leaveAndReturn tests a nodeSelector that selects the label `edge`. It removes this label from all
// nodes. While no Node has the label, the nodes must keep their rules. It then creates the Node
// `elsewhere` with the label, and the other nodes must remove their rules. Finally, it adds the
// label to the nodes again and checks that they enforce policies again.
func (c *cluster) leaveAndReturn(ctx context.Context) error {
	for _, do := range []func(context.Context) error{
		c.mark, func(ctx context.Context) error { return c.selectNodes(ctx, fmt.Sprintf(`{%q: "true"}`, edge)) }, c.verdicts,
		c.unmark, c.leaving, c.verdicts,
		c.createElsewhere, c.freed, c.reachable, c.deleteElsewhere,
		c.mark, c.available, func(ctx context.Context) error { return c.policiesEnforced(ctx, true) }, c.verdicts,
		func(ctx context.Context) error { return c.selectNodes(ctx, "null") }, c.unmark, c.verdicts,
	} {
		if err := do(ctx); err != nil {
			return err
		}
	}
	return nil
}

// The method `leaving` waits until the operator reports that the nodeSelector matches no node, and
// until all pods of the DaemonSet sluice-leaving are ready. These pods enforce policies on nodes
// that are no longer selected.
func (c *cluster) leaving(ctx context.Context) error {
	_, err := c.kubectl(ctx, "", "wait", "--timeout=1m", "enforcer/"+v1alpha1.EnforcerName,
		`--for=jsonpath={.status.conditions[?(@.type=="Degraded")].reason}=`+string(v1alpha1.ReasonSelectorMatchesNoNode))
	if err != nil {
		return err
	}
	return until(ctx, func(ctx context.Context) error {
		out, err := c.kubectl(ctx, "", "-n", "sluice-system", "get", "daemonset", "sluice-leaving",
			"-o", "jsonpath={.status.desiredNumberScheduled} {.status.numberReady}")
		desired, ready, _ := strings.Cut(out, " ")
		if err == nil && (ready == "" || ready == "0" || ready != desired) {
			err = fmt.Errorf("%q of %q pods for leaving nodes are ready", ready, desired)
		}
		return err
	})
}

func (c *cluster) createElsewhere(ctx context.Context) error {
	node := fmt.Sprintf(`{"apiVersion": "v1", "kind": "Node", "metadata": {"name": %q, "labels": {%q: "true"}}}`, elsewhere, edge)
	_, err := c.kubectl(ctx, node, "create", "-f", "-")
	return err
}

func (c *cluster) deleteElsewhere(ctx context.Context) error {
	_, err := c.kubectl(ctx, "", "delete", "node", elsewhere)
	return err
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
	patch := fmt.Sprintf(`{"spec": {"nodeSelector": %s, "freeAfter": "1s"}}`, selector)
	if _, err := c.kubectl(ctx, "", "patch", "enforcer", v1alpha1.EnforcerName, "--type=merge", "-p", patch); err != nil {
		return err
	}
	return c.available(ctx)
}

// The method `freed` waits until all nodes are uninstalled: no NodeEnforcer exists, no uninstall
// DaemonSet exists, and no Sluice pod runs on a node. It then waits until no policy is enforced.
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
