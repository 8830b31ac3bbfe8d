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

// endWithStdin is the flag by which a command in a pod ends when the connection
// to it breaks.
const endWithStdin = "end-with-stdin"

// flowsOfCluster shows what the nodes of a cluster judge, each line with its
// node. A node that fails is reported at once, and the others go on.
func flowsOfCluster(cmd *cobra.Command, flags *flowsFlags) error {
	connection, err := flags.cluster.connectTo(cmd)
	if err != nil {
		return err
	}
	pods, err := connection.NodePods(cmd.Context(), live.SystemNamespace, flags.nodes...)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(cmd.Context())
	defer cancel(nil)
	joined := &joinedLines{out: cmd.OutOrStdout(), json: flags.out.json(), count: flags.count, enough: func() { cancel(errEnough) }}
	notes := &joinedLines{out: cmd.ErrOrStderr()}
	failed := make([]error, len(pods))
	var running sync.WaitGroup
	for i, pod := range pods {
		running.Go(func() {
			err := connection.Run(ctx, pod, flags.inPod(), joined.of(pod.Node), notes.of(pod.Node))
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
	if joined.err != nil {
		return fmt.Errorf("writing flows: %w", joined.err)
	}
	return errors.Join(failed...)
}

// inPod is the command that shows the flows in a node's pod.
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

// joinedLines puts the lines of several nodes into one output, each whole and
// with the name of its node: before text, as the first field of JSON.
type joinedLines struct {
	out  io.Writer
	json bool
	// count is after how many flows enough is called, 0 never.
	count  uint
	enough func()

	mu    sync.Mutex
	shown uint
	err   error
}

// of gives the writer of one node.
func (j *joinedLines) of(node string) io.Writer { return &nodeLines{joined: j, node: node} }

type nodeLines struct {
	joined *joinedLines
	node   string
	rest   []byte
}

// Write takes in what has come, and passes on what is whole.
func (n *nodeLines) Write(p []byte) (int, error) {
	n.rest = append(n.rest, p...)
	for {
		line, rest, whole := bytes.Cut(n.rest, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		if err := n.joined.line(n.node, line); err != nil {
			return 0, err
		}
		n.rest = rest
	}
}

func (j *joinedLines) line(node string, line []byte) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err != nil || j.count > 0 && j.shown == j.count {
		return j.err
	}
	if fields, isObject := bytes.CutPrefix(line, []byte("{")); j.json && isObject {
		_, j.err = fmt.Fprintf(j.out, "{\"node\":%q,%s\n", node, fields)
	} else {
		_, j.err = fmt.Fprintf(j.out, "%s  %s\n", node, line)
	}
	if bytes.HasPrefix(line, []byte("(")) { // how many were not shown: no flow
		return j.err
	}
	if j.shown++; j.shown == j.count {
		j.enough()
	}
	return j.err
}
