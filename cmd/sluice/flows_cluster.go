package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/live"
)

// endWithStdin is the flag that ends a command in a pod when the connection to it
// breaks.
const endWithStdin = "end-with-stdin"

// clusterFlows shows the flows of the nodes of a cluster. If a node fails, it
// writes the error and continues with the others.
func clusterFlows(cmd *cobra.Command, flags *flowsFlags) error {
	connection, err := flags.scope.connectTo(cmd)
	if err != nil {
		return err
	}
	pods, err := connection.NodePods(cmd.Context(), live.SystemNamespace, flags.nodes...)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(cmd.Context())
	defer cancel(nil)
	merged := &mergedLines{out: cmd.OutOrStdout(), json: flags.out.json(), count: flags.count, enough: func() { cancel(errEnough) }}
	notes := &mergedLines{out: cmd.ErrOrStderr()}
	failed := make([]error, len(pods))
	var running sync.WaitGroup
	for i, pod := range pods {
		running.Go(func() {
			err := connection.Run(ctx, pod, flags.inPod(), merged.of(pod.Node), notes.of(pod.Node))
			if err == nil || ctx.Err() != nil {
				return
			}
			failed[i] = fmt.Errorf("node %s: %w", pod.Node, err)
			if len(pods) > 1 {
				fmt.Fprintln(notes.of(pod.Node), err)
			}
		})
	}
	running.Wait()
	if merged.err != nil {
		return fmt.Errorf("writing flows: %w", merged.err)
	}
	return errors.Join(failed...)
}

// inPod returns the command that shows the flows of a node in its pod.
func (f *flowsFlags) inPod() []string {
	command := []string{"/sluice", "flows", "--" + endWithStdin, "--output", f.out.String()}
	if f.denied {
		command = append(command, "--denied")
	}
	if f.namespace != "" {
		command = append(command, "--namespace", f.namespace)
	}
	if f.count > 0 {
		command = append(command, "--count", strconv.FormatUint(uint64(f.count), 10))
	}
	return command
}

// mergedLines merges the lines of several nodes into one output. Each line gets
// the name of its node: in front of text, and as the first field of JSON.
type mergedLines struct {
	out  io.Writer
	json bool
	// count is the number of flows after which enough is called. 0 means no limit.
	count  uint
	enough func()

	mu    sync.Mutex
	shown uint
	err   error
}

// of returns the writer for one node.
func (m *mergedLines) of(node string) io.Writer { return &nodeLines{merged: m, node: node} }

// nodeLines splits the output of one node into lines.
type nodeLines struct {
	merged *mergedLines
	node   string
	rest   []byte
}

// Write writes the lines that are complete and keeps the rest.
func (n *nodeLines) Write(p []byte) (int, error) {
	n.rest = append(n.rest, p...)
	for {
		line, rest, complete := bytes.Cut(n.rest, []byte("\n"))
		if !complete {
			return len(p), nil
		}
		if err := n.merged.line(n.node, line); err != nil {
			return 0, err
		}
		n.rest = rest
	}
}

func (m *mergedLines) line(node string, line []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil || m.count > 0 && m.shown == m.count {
		return m.err
	}
	if fields, isObject := bytes.CutPrefix(line, []byte("{")); m.json && isObject {
		_, m.err = fmt.Fprintf(m.out, "{\"node\":%q,%s\n", node, fields)
	} else {
		_, m.err = fmt.Fprintf(m.out, "%s  %s\n", node, line)
	}
	if bytes.HasPrefix(line, []byte("(")) { // The number of flows that are not shown.
		return m.err
	}
	if m.shown++; m.shown == m.count {
		m.enough()
	}
	return m.err
}
