package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// cluster is the cluster on which the test runs.
type cluster struct {
	kubeconfig     string
	image, agnhost string
	// The `config` field is the directory that contains the kustomize bases. The `plugin` field is
	// the path of the kubectl plugin.
	config, plugin string
	// killInterval is the time between two kills of the operator; 0 means that it is not killed.
	killInterval time.Duration
}

// step is one named step of the test.
type step struct {
	name string
	do   func(context.Context) error
}

// stepTimeout limits the duration of each step. The step that frees nodes took just over five minutes
// while the operator was killed every five seconds.
const stepTimeout = 10 * time.Minute

func (c *cluster) do(ctx context.Context, s step) error {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	began := time.Now()
	if err := s.do(ctx); err != nil {
		fmt.Printf("FAIL  %s\n", s.name)
		c.describe()
		return fmt.Errorf("%s: %w", s.name, err)
	}
	fmt.Printf("ok    %s (%.1f s)\n", s.name, time.Since(began).Seconds())
	return nil
}

// kubectl runs kubectl with the text `input` as its standard input, and returns the output.
func (c *cluster) kubectl(ctx context.Context, input string, arguments ...string) (string, error) {
	if c.kubeconfig != "" {
		arguments = append([]string{"--kubeconfig", c.kubeconfig}, arguments...)
	}
	return output(ctx, input, "kubectl", arguments...)
}

func output(ctx context.Context, input, program string, arguments ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, arguments...)
	cmd.Stdin = strings.NewReader(input)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %w: %s", program, strings.Join(arguments, " "), err, bytes.TrimSpace(errs.Bytes()))
	}
	return strings.TrimSpace(out.String()), nil
}

// read runs `kubectl get` and decodes its output.
func (c *cluster) read(ctx context.Context, to any, arguments ...string) error {
	out, err := c.kubectl(ctx, "", append([]string{"get", "-o", "json"}, arguments...)...)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(out), to)
}

// The function `until` calls the function `attempt` repeatedly. It returns when a call returns nil
// or the context ends.
func until(ctx context.Context, attempt func(context.Context) error) error {
	for {
		err := attempt(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// describe prints the state of the cluster. It is called after a failed step.
func (c *cluster) describe() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, arguments := range [][]string{
		{"get", "pods", "-A", "-o", "wide"},
		{"get", "enforcers,nodeenforcers", "-o", "wide"},
		{"get", "policystatuses", "-A", "-o", "wide"},
		{"get", "enforcers", "-o", "yaml"},
		{"-n", "sluice-system", "get", "events", "--sort-by=.lastTimestamp"},
		{"-n", "sluice-system", "logs", "deployment/sluice-operator", "--tail=40"},
		{"-n", "sluice-system", "logs", "daemonset/sluice", "--all-containers", "--tail=40"},
	} {
		out, err := c.kubectl(ctx, "", arguments...)
		fmt.Printf("--- kubectl %s\n%s\n", strings.Join(arguments, " "), out)
		if err != nil {
			fmt.Println(err)
		}
	}
}
