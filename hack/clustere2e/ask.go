package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// ask runs the commands that a user would, and prints what they say.
func (c *cluster) ask(ctx context.Context) error {
	var clientPod, strangerPod, serverPod string
	for app, pod := range map[string]*string{"client": &clientPod, "stranger": &strangerPod, "server": &serverPod} {
		out, err := c.kubectl(ctx, "", "-n", namespace, "get", "pods", "-l", "app="+app, "-o", "jsonpath={.items[0].metadata.name}")
		if err != nil {
			return err
		}
		*pod = namespace + "/" + out
	}
	explain := []string{"explain", "--to", serverPod, "--port", "80", "--from"}
	return errors.Join(
		c.says(ctx, "Allow", append(explain, clientPod)...),
		c.says(ctx, "default-deny", append(explain, strangerPod)...),
		c.says(ctx, "server", "matrix", "--port", "80", "-n", namespace),
		c.says(ctx, "", "lint"),
		c.says(ctx, "", "status"),
		c.refusals(ctx),
		c.shows(ctx, "get", "enforcers,nodeenforcers"),
		c.shows(ctx, "-n", namespace, "get", "policystatuses"),
	)
}

// says runs the plugin on the live cluster and looks for a word.
func (c *cluster) says(ctx context.Context, word string, arguments ...string) error {
	shown := "kubectl sluice " + strings.Join(arguments, " ")
	if c.kubeconfig != "" {
		arguments = append(arguments, "--kubeconfig", c.kubeconfig)
	}
	out, err := output(ctx, "", c.plugin, arguments...)
	fmt.Printf("--- %s\n%s\n", shown, out)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 && arguments[0] == "lint" {
		err = nil // It found something, perhaps in policies that were there before.
	}
	if err == nil && !strings.Contains(out, word) {
		err = fmt.Errorf("%s does not say %q", shown, word)
	}
	return err
}

// shows prints what kubectl shows.
func (c *cluster) shows(ctx context.Context, arguments ...string) error {
	out, err := c.kubectl(ctx, "", arguments...)
	fmt.Printf("--- kubectl %s\n%s\n", strings.Join(arguments, " "), out)
	return err
}

// refusals follows refused flows of the cluster while one is refused.
func (c *cluster) refusals(ctx context.Context) error {
	web, _, _, _, err := c.targets(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	followed := make(chan error, 1)
	go func() {
		followed <- c.says(ctx, namespace+"/default-deny", "flows", "--denied", "-n", namespace, "-c", "1", "-o", "json")
	}()
	// Whoever follows needs a moment to reach the nodes.
	for {
		select {
		case err := <-followed:
			return err
		default:
		}
		if err := c.refused(ctx, "stranger", web); err != nil {
			return errors.Join(err, <-followed)
		}
	}
}
