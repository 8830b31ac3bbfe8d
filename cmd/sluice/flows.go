package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/status"
)

// flowsFlags are the flags of the flows command.
type flowsFlags struct {
	out       output
	cluster   clusterPlace
	nodes     []string
	denied    bool
	namespace string
	count     uint
	withStdin bool
}

// flowsCommand shows flows of this node, or of the nodes of a cluster.
func flowsCommand(where place) *cobra.Command {
	var flags flowsFlags
	cmd := &cobra.Command{
		Use:   "flows",
		Short: "Show connections as they are judged, and why",
		Long: `Shows each first packet that a dataplane judges from now on: when, the verdict,
from whom to whom, and the rule that decided or the policies that isolate the pod.
Packets of connections that were accepted are not judged again and not shown.

` + where.flowsText() + `

Under load it is a sample: a line says how many were not shown before it. Judging
never waits for whoever looks on. Ctrl-C ends it.`,
		Example: `  sluice flows --denied -n shop
  sluice flows -c 100 -o json | jq -r 'select(.verdict == "Deny") | .ingress.isolatedBy[]?'`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			asks, err := flags.cluster.asksCluster(where, len(flags.nodes) > 0)
			if err != nil {
				return err
			}
			if asks {
				return flowsOfCluster(cmd, &flags)
			}
			return flowsOfNode(cmd, &flags)
		},
	}
	f := cmd.Flags()
	flags.cluster.addFlags(cmd, where)
	f.StringArrayVar(&flags.nodes, "node", nil, "only flows that this `node` of the cluster judges; repeatable")
	f.BoolVar(&flags.denied, "denied", false, "leave out what is allowed")
	f.StringVarP(&flags.namespace, "namespace", "n", "", "only flows from or to pods of this `namespace`")
	f.UintVarP(&flags.count, "count", "c", 0, "end after this many; 0 is never")
	f.BoolVar(&flags.withStdin, endWithStdin, false, "end when standard input does, for whoever runs this from afar")
	f.Lookup(endWithStdin).Hidden = true
	flags.out.addFlag(cmd)
	return cmd
}

// flowsOfNode shows what the dataplane of this node judges.
func flowsOfNode(cmd *cobra.Command, flags *flowsFlags) error {
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	if flags.withStdin {
		go func() {
			_, _ = io.Copy(io.Discard, cmd.InOrStdin()) // Any end will do.
			cancel()
		}()
	}
	w := cmd.OutOrStdout()
	lines := json.NewEncoder(w)
	lines.SetEscapeHTML(false)
	shown := uint(0)
	listening := func() { fmt.Fprintln(cmd.ErrOrStderr(), "listening; Ctrl-C ends it") }
	stateDir := flags.cluster.nodeDir()
	err := status.Flows(ctx, stateDir, flags.denied, listening, func(e *report.Event) error {
		if flags.namespace != "" && !concerns(e, flags.namespace) {
			return nil
		}
		var err error
		if flags.out.json() {
			err = lines.Encode(e)
		} else {
			_, err = fmt.Fprintln(w, eventText(e))
		}
		if err != nil {
			return fmt.Errorf("writing flows: %w", err)
		}
		if shown++; shown == flags.count {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) || errors.Is(err, context.Canceled) {
		return nil
	}
	return notRunning(err, stateDir)
}

// concerns reports whether an end of the flow is a pod of the namespace, as far
// as the node knows.
func concerns(e *report.Event, namespace string) bool {
	return strings.HasPrefix(e.SrcPod, namespace+"/") || strings.HasPrefix(e.DstPod, namespace+"/")
}

// errEnough ends a listing.
var errEnough = errors.New("as many as were asked for")

// eventText is one line, or two where events are missing.
func eventText(e *report.Event) string {
	var b strings.Builder
	if e.Missed > 0 {
		fmt.Fprintf(&b, "(up to %d not shown)\n", e.Missed)
	}
	fmt.Fprintf(&b, "%s %-9s ", e.Time.Format("15:04:05.000"), e.Verdict)
	if e.Verdict == report.Unreadable {
		fmt.Fprintf(&b, "packet dropped: %s", e.Fault)
		return b.String()
	}
	protocol, err := flow.ParseProtocol(e.Protocol)
	ports := err == nil && protocol.HasPorts()
	fmt.Fprintf(&b, "%s %s -> %s", e.Protocol, endText(e.Src, e.SrcPort, e.SrcPod, ports), endText(e.Dst, e.DstPort, e.DstPod, ports))
	for _, s := range []struct {
		direction rule.Direction
		side      *report.Side
	}{{rule.Egress, e.Egress}, {rule.Ingress, e.Ingress}} {
		if s.side != nil {
			fmt.Fprintf(&b, "; %s: %s", s.direction, sideText(s.direction, s.side))
		}
	}
	return b.String()
}

func endText(a netip.Addr, port uint16, pod string, ports bool) string {
	text := a.String()
	if ports {
		text = netip.AddrPortFrom(a, port).String()
	}
	if pod != "" {
		text = pod + " " + text
	}
	return text
}

// sideText says why a side has its verdict.
func sideText(d rule.Direction, s *report.Side) string {
	switch s.Reason {
	case rule.NotIsolated.String():
		return "no policy isolates it"
	case rule.SameNode.String():
		return "its own node"
	case rule.SamePod.String():
		return "itself"
	case rule.NoRuleMatched.String():
		return "no rule of " + strings.Join(s.IsolatedBy, ", ") + " allows it"
	}
	if s.Rule == nil {
		return s.Reason
	}
	does := "denied"
	if s.Verdict == rule.Allow.String() {
		does = "allowed"
	}
	return fmt.Sprintf("%s by %s %s[%d]", does, *s.Policy, d, *s.Rule)
}
