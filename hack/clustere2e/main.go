// Command clustere2e deploys an image on a real cluster as the README tells a user
// to, checks that policies are enforced through every step of its life, removes
// it and checks that nothing is left.
//
//	clustere2e -image IMAGE -agnhost IMAGE [-kubeconfig FILE]
//
// It needs kubectl, the right to do everything, and nodes that have both images
// or can pull them. The cluster must not run Sluice yet. What the test makes for
// itself is in namespace sluice-e2e.
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
	flag.StringVar(&c.kubeconfig, "kubeconfig", os.Getenv("KUBECONFIG"), "`file` that says how to reach the cluster")
	flag.StringVar(&c.image, "image", "", "`image` of Sluice, as the nodes know it")
	flag.StringVar(&c.agnhost, "agnhost", "", "`image` of agnhost, the server and client of Kubernetes' own tests")
	flag.StringVar(&c.config, "config", "config", "`folder` with the kustomize bases")
	sluice := flag.String("sluice", "bin/sluice", "`program` that is asked about the cluster, as a kubectl plugin")
	flag.Parse()
	for name, value := range map[string]string{"image": c.image, "agnhost": c.agnhost} {
		if value == "" {
			return fmt.Errorf("-%s is missing: name an image that the nodes have or can pull", name)
		}
	}
	folder, err := os.MkdirTemp("", "sluice-e2e-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	if c.plugin, err = link(*sluice, folder); err != nil {
		return err
	}
	if out, err := c.kubectl(ctx, "", "get", "crd", "enforcers.policy.sluice.dev", "--ignore-not-found", "-o", "name"); err != nil {
		return err
	} else if out != "" {
		return errors.New("the cluster has Sluice already: remove it first, or take another cluster")
	}
	return errors.Join(c.live(ctx), c.leave())
}

// link gives the program the name under which kubectl finds it.
func link(program, folder string) (string, error) {
	program, err := filepath.Abs(program)
	if err != nil {
		return "", err
	}
	plugin := filepath.Join(folder, "kubectl-sluice")
	return plugin, os.Symlink(program, plugin)
}

// live goes through the life of an installation, until a step fails.
func (c *cluster) live(ctx context.Context) error {
	for _, s := range []step{
		{"the operator runs", c.install},
		{"an Enforcer is available on every node", c.enforce},
		{"servers and clients run", c.deploy},
		{"without policies everybody reaches everybody", c.reachable},
		{"policies hold, through service and pod address", c.isolate},
		{"probes of isolated pods stay green", c.probed},
		{"the commands know the live cluster", c.ask},
		{"a change of the Enforcer is rolled out, and nothing refused passes meanwhile", c.reconfigure},
		{"the nodes' pods are restarted, and nothing refused passes meanwhile", c.restartNodes},
		{"the operator is restarted", c.restartOperator},
		{"nodes that leave are freed, and enforce again when they are back", c.leaveAndReturn},
		{"a deleted Enforcer leaves no rule on any node", c.disable},
		{"nothing is left in the cluster", c.uninstall},
	} {
		if err := c.do(ctx, s); err != nil {
			return err
		}
	}
	return nil
}
