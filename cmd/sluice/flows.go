package main

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

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/status"
	"github.com/sluicenet/sluice/query/flowline"
)

// flowsFlags are the flags of the command sluice flows.
type flowsFlags struct {
	out       output
	scope     scopeFlags
	nodes     []string
	denied    bool
	namespace string
	count     uint
	yes       bool
	retry     time.Duration
}

const nodeFlowsHelp = `It shows the flows of the dataplane of this node. With --kubeconfig, --context or
--node it shows those of the nodes of a cluster.`

const clusterFlowsHelp = `It shows the flows of all nodes or of those of --node, and begins each line with the node.
That needs the right to watch nodeflows.observe.policy.sluice.dev. Before it opens more
than 50 streams, it requests a confirmation.`

func flowsCommand(s scope) *cobra.Command {
	var flags flowsFlags
	help := nodeFlowsHelp
	if s == clusterScope {
		help = clusterFlowsHelp
	}
	cmd := &cobra.Command{
		Use:   "flows",
		Short: "Show flows as they are evaluated, and which rules decide",
		Long: `Shows the first packet of each flow as a dataplane evaluates it from now on: the
time, the verdict, both ends, and the rule that decided or the policies that isolate
the pod. Later packets of an accepted connection are not evaluated and not shown.

` + help + `

Under load it is a sample, and a line reports the number of flows that are not shown.
It never slows down the dataplane. It ends with Ctrl-C.`,
		Example: `  sluice flows --denied -n shop
  sluice flows -c 100 -o json | jq -r 'select(.verdict == "Deny") | .ingress.isolatedBy[]?'`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cluster, err := flags.scope.selectsCluster(s, len(flags.nodes) > 0)
			switch {
			case err != nil:
				return err
			case cluster:
				return clusterFlows(cmd, &flags)
			default:
				return nodeFlows(cmd, &flags)
			}
		},
	}
	f := cmd.Flags()
	flags.scope.addFlags(cmd, s)
	f.StringArrayVar(&flags.nodes, "node", nil, "only flows that the node of this `name` evaluates; repeatable")
	f.BoolVar(&flags.denied, "denied", false, "leave out allowed flows")
	f.StringVarP(&flags.namespace, "namespace", "n", "", "only flows from or to pods in this `namespace`")
	f.UintVarP(&flags.count, "count", "c", 0, "end after this `number` of flows; 0 for no limit")
	f.BoolVar(&flags.yes, "yes", false, "open a stream to any number of nodes without a confirmation")
	f.DurationVar(&flags.retry, "retry", 30*time.Second, "when a stream is lost, try to reconnect for this `time`")
	flags.out.addFlag(cmd)
	return cmd
}

// errEnough is returned by flowWriter.write when the number of written flows reaches --count.
var errEnough = errors.New("the wanted number of flows has been shown")

// nodeFlows writes the flows that the dataplane of this node evaluates.
func nodeFlows(cmd *cobra.Command, flags *flowsFlags) error {
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	w := flowWriter{flags: flags, out: cmd.OutOrStdout()}
	listening := func() { fmt.Fprintln(cmd.ErrOrStderr(), "listening; Ctrl-C ends it") }
	stateDir := flags.scope.nodeDir()
	err := status.Flows(ctx, stateDir, flags.denied, listening, func(e *report.Event) error { return w.write("", e) })
	if errors.Is(err, errEnough) || errors.Is(err, context.Canceled) {
		return nil
	}
	return notRunning(err, stateDir)
}

// flowWriter writes flow events to out. Its methods may be called concurrently.
type flowWriter struct {
	flags *flowsFlags
	out   io.Writer

	mu    sync.Mutex
	shown uint
}

// nodeEvent is a flow event and the name of the node that reported it.
type nodeEvent struct {
	Node string `json:"node,omitempty"`
	*report.Event
}

// write writes an event that a node reported. The `node` parameter is empty if the command shows
// only the dataplane of this node. When the number of written flows reaches --count, write returns
// errEnough.
func (w *flowWriter) write(node string, e *report.Event) error {
	if n := w.flags.namespace; n != "" && !hasEndIn(e, n) {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.flags.count > 0 && w.shown == w.flags.count {
		return errEnough
	}
	var err error
	if w.flags.out.json() {
		lines := json.NewEncoder(w.out)
		lines.SetEscapeHTML(false)
		err = lines.Encode(nodeEvent{node, e})
	} else {
		begin := ""
		if node != "" {
			begin = node + "  "
		}
		_, err = fmt.Fprintln(w.out, begin+strings.ReplaceAll(flowline.Text(e), "\n", "\n"+begin))
	}
	if err != nil {
		return fmt.Errorf("writing flows: %w", err)
	}
	if w.shown++; w.shown == w.flags.count {
		return errEnough
	}
	return nil
}

// hasEndIn reports whether the source or the destination of the flow is a pod in the
// namespace. An event contains pod names only for pods on the dataplane's node.
func hasEndIn(e *report.Event, namespace string) bool {
	return strings.HasPrefix(e.SrcPod, namespace+"/") || strings.HasPrefix(e.DstPod, namespace+"/")
}
