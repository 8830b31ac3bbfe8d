// Package flows writes flows as the dataplane of this node or the dataplanes of a cluster
// evaluate them. It implements the command sluice flows.
package flows

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/cmd/sluice/internal/output"
	"github.com/sluicenet/sluice/cmd/sluice/internal/scope"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/status"
	"github.com/sluicenet/sluice/query"
	"github.com/sluicenet/sluice/query/flowline"
)

// Flags are the flags of the command sluice flows.
type Flags struct {
	out       output.Format
	scope     scope.Flags
	nodes     []string
	denied    bool
	namespace string
	count     uint
	yes       bool
	retry     time.Duration
}

// AddTo adds the flags to a command.
func (f *Flags) AddTo(cmd *cobra.Command, s scope.Scope) {
	flags := cmd.Flags()
	f.scope.AddTo(cmd, s)
	flags.StringArrayVar(&f.nodes, "node", nil, "only flows that the node of this `name` evaluates; repeatable")
	flags.BoolVar(&f.denied, "denied", false, "leave out allowed flows")
	flags.StringVarP(&f.namespace, "namespace", "n", "", "only flows from or to pods in this `namespace`")
	flags.UintVarP(&f.count, "count", "c", 0, "end after this `number` of flows; 0 for no limit")
	flags.BoolVar(&f.yes, "yes", false, "open a stream to any number of nodes without a confirmation")
	flags.DurationVar(&f.retry, "retry", 30*time.Second, "when a stream is lost, try to reconnect for this `time`")
	f.out.AddTo(cmd, output.Text, output.Wide, output.JSON, output.YAML)
}

// Write writes flows to the output of a command until the context of the command ends, or until
// the number of flows reaches --count.
func (f *Flags) Write(cmd *cobra.Command, s scope.Scope) error {
	cluster, err := f.scope.SelectsCluster(s, len(f.nodes) > 0)
	switch {
	case err != nil:
		return err
	case cluster:
		return f.writeCluster(cmd)
	default:
		return f.writeNode(cmd)
	}
}

// errEnough is returned by writer.write when the number of written flows reaches --count.
var errEnough = errors.New("the wanted number of flows has been shown")

// writeNode writes the flows that the dataplane of this node evaluates.
func (f *Flags) writeNode(cmd *cobra.Command) error {
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	w := writer{flags: f, out: cmd.OutOrStdout()}
	listening := func() { fmt.Fprintln(cmd.ErrOrStderr(), "listening; press Ctrl-C to stop") }
	stateDir := f.scope.NodeDir()
	err := status.Flows(ctx, stateDir, f.denied, listening, func(e *report.Event) error { return w.write("", e) })
	if errors.Is(err, errEnough) || errors.Is(err, context.Canceled) {
		return nil
	}
	return scope.NotRunning(err, stateDir)
}

// writer writes flow events to out. Its methods may be called concurrently.
type writer struct {
	flags *Flags
	out   io.Writer

	mu    sync.Mutex
	shown uint
}

// nodeEvent is a flow event and the name of the node that reported it.
type nodeEvent struct {
	query.TypeMeta
	Node string `json:"node,omitempty"`
	*report.Event
}

// write writes an event that a node reported. The `node` parameter is empty if the command shows
// only the dataplane of this node. When the number of written flows reaches --count, write returns
// errEnough.
func (w *writer) write(node string, e *report.Event) error {
	if n := w.flags.namespace; n != "" && !hasEndIn(e, n) {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.flags.count > 0 && w.shown == w.flags.count {
		return errEnough
	}
	if err := w.format(&nodeEvent{query.NewTypeMeta("FlowEvent"), node, e}); err != nil {
		return fmt.Errorf("writing flows: %w", err)
	}
	if w.shown++; w.shown == w.flags.count {
		return errEnough
	}
	return nil
}

// format writes an event in the format of the flag -o.
func (w *writer) format(e *nodeEvent) error {
	text := flowline.Text
	switch w.flags.out.String() {
	case output.JSON:
		lines := json.NewEncoder(w.out)
		lines.SetEscapeHTML(false)
		return lines.Encode(e)
	case output.YAML:
		if _, err := io.WriteString(w.out, "---\n"); err != nil {
			return err
		}
		return output.WriteYAML(w.out, e)
	case output.Wide:
		text = flowline.Wide
	}
	begin := ""
	if e.Node != "" {
		begin = e.Node + "  "
	}
	_, err := fmt.Fprintln(w.out, begin+strings.ReplaceAll(text(e.Event), "\n", "\n"+begin))
	return err
}

// hasEndIn reports whether the source or the destination of the flow is a pod in the
// namespace. An event contains pod names only for pods on the dataplane's node.
func hasEndIn(e *report.Event, namespace string) bool {
	return strings.HasPrefix(e.SrcPod, namespace+"/") || strings.HasPrefix(e.DstPod, namespace+"/")
}
