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

// endWithStdin is the name of a hidden flag that makes sluice flows exit when its standard
// input ends. kubectl sluice sets this flag when it runs sluice flows in a pod, so that the
// process exits when the connection to the pod breaks.
const endWithStdin = "end-with-stdin"

// clusterFlows writes the flows that the nodes of a cluster evaluate. If the command fails on
// one node, clusterFlows writes the error and continues with the other nodes.
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

// inPod returns the command line that clusterFlows runs in the pod of each node.
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

// mergedLines writes the lines of several nodes to one output, and adds the node name to each
// line. In text, the name is at the beginning of the line: "n1 12:00:00.000 Allow ...". In
// JSON, the name is the first field: {"node":"n1",...}.
type mergedLines struct {
	out  io.Writer
	json bool
	// After writing count flows, mergedLines calls the function enough, unless count is 0.
	count  uint
	enough func()

	mu    sync.Mutex
	shown uint
	err   error
}

// The method `of` returns a writer for the output of one node.
func (m *mergedLines) of(node string) io.Writer { return &nodeLines{merged: m, node: node} }

// nodeLines splits the output of one node into lines, and passes each line to merged.
type nodeLines struct {
	merged *mergedLines
	node   string
	rest   []byte
}

// Write passes the complete lines to merged, and keeps the incomplete line until the next
// call.
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
	if bytes.HasPrefix(line, []byte("(")) { // The line reports how many flows were missed.
		return m.err
	}
	if m.shown++; m.shown == m.count {
		m.enough()
	}
	return m.err
}
