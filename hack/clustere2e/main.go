// Command clustere2e tests an image on a real cluster. It deploys the image as described in the
// README, and performs typical operations, from installation to uninstallation. It checks that
// policies are enforced even while the configuration changes and while the pods on nodes
// restart. At the end, it checks that Sluice has left no objects and no rules in the cluster.
//
//	clustere2e -image IMAGE -agnhost IMAGE [-kubeconfig FILE]
//
// The command needs kubectl, the rights of a cluster administrator, and nodes that contain
// both images or can pull them. It fails if Sluice is already installed on the cluster. It
// creates its workloads in the namespace sluice-e2e.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "cluster-e2e:", err)
		os.Exit(1)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var c cluster
	flag.StringVar(&c.kubeconfig, "kubeconfig", os.Getenv("KUBECONFIG"), "`file` with the connection to the cluster")
	flag.StringVar(&c.image, "image", "", "`image` of Sluice, by its name on the nodes")
	flag.StringVar(&c.agnhost, "agnhost", "", "`image` of agnhost, the server and client of the Kubernetes tests")
	flag.StringVar(&c.config, "config", "config", "`directory` with the kustomize bases")
	flag.DurationVar(&c.killInterval, "kill-operator", 0, "kill the operator's pod at this `interval` while policies are enforced; 0 for never")
	sluice := flag.String("sluice", "bin/sluice", "`program` that is the kubectl plugin")
	flag.Parse()
	for name, value := range map[string]string{"image": c.image, "agnhost": c.agnhost} {
		if value == "" {
			return fmt.Errorf("-%s is missing: name an image that the nodes have or can pull", name)
		}
	}
	directory, err := os.MkdirTemp("", "sluice-e2e-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(directory)
	if c.plugin, err = link(*sluice, directory); err != nil {
		return err
	}
	if out, err := c.kubectl(ctx, "", "get", "crd", "enforcers.policy.sluice.dev", "--ignore-not-found", "-o", "name"); err != nil {
		return err
	} else if out != "" {
		return errors.New("the cluster runs Sluice already: uninstall it first, or use another cluster")
	}
	return errors.Join(c.runSteps(ctx), c.cleanUp())
}

// link creates a symlink to the sluice program and returns the path of the symlink. The symlink
// has the name of a kubectl plugin, so that kubectl finds the program.
func link(program, directory string) (string, error) {
	program, err := filepath.Abs(program)
	if err != nil {
		return "", err
	}
	plugin := filepath.Join(directory, "kubectl-sluice")
	return plugin, os.Symlink(program, plugin)
}

// runSteps runs the steps in order and stops after the first step that fails. While policies are
// enforced, it kills the operator once per killInterval.
func (c *cluster) runSteps(ctx context.Context) error {
	installed := []step{{"the operator runs", c.install}}
	if c.killInterval == 0 {
		installed = append(installed, step{"the operator is restarted", c.restartOperator})
	}
	enforced := []step{
		{"an Enforcer is available on every node", c.enforce},
		{"servers and clients run", c.deploy},
		{"without policies, every connection is allowed", c.reachable},
		{"policies are enforced for service and pod addresses", c.isolate},
		{"probes of isolated pods succeed", c.probesSucceed},
		{"the commands work on the cluster", c.commands},
		{"a change of the Enforcer is rolled out, and policies are enforced meanwhile", c.reconfigure},
		{"the pods on nodes are restarted, and policies are enforced meanwhile", c.restartNodes},
		{"nodes that are no longer selected are freed, and enforce again when they are selected", c.leaveAndReturn},
		{"a deleted Enforcer leaves no rule on any node", c.disable},
	}
	removed := []step{{"nothing is left in the cluster", c.uninstall}}
	if err := c.each(ctx, installed); err != nil {
		return err
	}
	killing := c.startKilling(ctx, c.killInterval)
	err := c.each(ctx, enforced)
	killing.stop()
	if err != nil {
		return err
	}
	return c.each(ctx, removed)
}

// each runs steps in order and stops after the first step that fails.
func (c *cluster) each(ctx context.Context, steps []step) error {
	for _, s := range steps {
		if err := c.do(ctx, s); err != nil {
			return err
		}
	}
	return nil
}
