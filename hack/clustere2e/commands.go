package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// commands runs the commands of the kubectl plugin on the cluster and checks their output.
func (c *cluster) commands(ctx context.Context) error {
	var clientPod, otherPod, serverPod string
	for app, pod := range map[string]*string{"client": &clientPod, "other": &otherPod, "server": &serverPod} {
		out, err := c.kubectl(ctx, "", "-n", namespace, "get", "pods", "-l", "app="+app, "-o", "jsonpath={.items[0].metadata.name}")
		if err != nil {
			return err
		}
		*pod = namespace + "/" + out
	}
	explain := []string{"explain", "--to", serverPod, "--port", "80", "--from"}
	return errors.Join(
		c.prints(ctx, "Allow", append(explain, clientPod)...),
		c.prints(ctx, "default-deny", append(explain, otherPod)...),
		c.prints(ctx, "server", "matrix", "--port", "80", "-n", namespace),
		c.prints(ctx, "", "lint"),
		c.prints(ctx, "", "status"),
		c.denials(ctx),
		c.show(ctx, "get", "enforcers,nodeenforcers"),
		c.show(ctx, "-n", namespace, "get", "policystatuses"),
	)
}

// The method `prints` runs the plugin with the given arguments. It returns an error if the output
// does not contain the text `word`.
func (c *cluster) prints(ctx context.Context, word string, arguments ...string) error {
	shown := "kubectl sluice " + strings.Join(arguments, " ")
	if c.kubeconfig != "" {
		arguments = append(arguments, "--kubeconfig", c.kubeconfig)
	}
	out, err := output(ctx, "", c.plugin, arguments...)
	fmt.Printf("--- %s\n%s\n", shown, out)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 && arguments[0] == "lint" {
		err = nil // Status 1 means that older policies in the cluster have findings.
	}
	if err == nil && !strings.Contains(out, word) {
		err = fmt.Errorf("the output of %s does not contain %q", shown, word)
	}
	return err
}

// show runs kubectl and prints its output.
func (c *cluster) show(ctx context.Context, arguments ...string) error {
	out, err := c.kubectl(ctx, "", arguments...)
	fmt.Printf("--- kubectl %s\n%s\n", strings.Join(arguments, " "), out)
	return err
}

// denials checks that `kubectl sluice flows` prints a denied flow.
func (c *cluster) denials(ctx context.Context) error {
	web, _, _, _, err := c.targets(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	followed := make(chan error, 1)
	go func() {
		followed <- c.prints(ctx, namespace+"/default-deny", "flows", "--denied", "-n", namespace, "-c", "1", "-o", "json")
	}()
	// Repeat the flow, because the command needs some time to connect to the nodes.
	for {
		select {
		case err := <-followed:
			return err
		default:
		}
		if err := c.denied(ctx, "other", web); err != nil {
			return errors.Join(err, <-followed)
		}
	}
}
