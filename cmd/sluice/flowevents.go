package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/queue"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/status"
)

func flowsCommand() *cobra.Command {
	var out output
	var stateDir string
	var denied bool
	var count uint
	cmd := &cobra.Command{
		Use:   "flows",
		Short: "Show connections as this node's dataplane judges them, and why",
		Long: `Shows each first packet that the dataplane judges from now on: when, the verdict,
from whom to whom, and the rule that decided or the policies that isolate the pod.
Packets of connections that were accepted are not judged again and not shown.

Under load it is a sample: a line says how many were not shown before it. Judging
never waits for whoever looks on. Ctrl-C ends it.`,
		Example: `  sluice flows --denied
  sluice flows -n 100 -o json | jq -r 'select(.verdict == "Deny") | .ingress.isolatedBy[]?'`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			lines := json.NewEncoder(w)
			lines.SetEscapeHTML(false)
			shown := uint(0)
			listening := func() { fmt.Fprintln(cmd.ErrOrStderr(), "listening; Ctrl-C ends it") }
			err := status.Flows(cmd.Context(), stateDir, denied, listening, func(e *queue.Event) error {
				var err error
				if out.json() {
					err = lines.Encode(e)
				} else {
					_, err = fmt.Fprintln(w, eventText(e))
				}
				if err != nil {
					return fmt.Errorf("writing flows: %w", err)
				}
				if shown++; shown == count {
					return errEnough
				}
				return nil
			})
			if errors.Is(err, errEnough) || errors.Is(err, context.Canceled) {
				return nil
			}
			return notRunning(err, stateDir)
		},
	}
	cmd.Flags().StringVar(&stateDir, "state-dir", defaultStateDir, "`directory` that agent and dataplane share")
	cmd.Flags().BoolVar(&denied, "denied", false, "leave out what is allowed")
	cmd.Flags().UintVarP(&count, "count", "n", 0, "end after this many; 0 is never")
	out.addFlag(cmd)
	return cmd
}

// errEnough ends a listing.
var errEnough = errors.New("as many as were asked for")

// eventText is one line, or two where events are missing.
func eventText(e *queue.Event) string {
	var b strings.Builder
	if e.Missed > 0 {
		fmt.Fprintf(&b, "(up to %d not shown)\n", e.Missed)
	}
	fmt.Fprintf(&b, "%s %-9s ", e.Time.Format("15:04:05.000"), e.Outcome)
	if e.Outcome == queue.Unreadable {
		fmt.Fprintf(&b, "packet dropped: %s", e.Fault)
		return b.String()
	}
	protocol, err := flow.ParseProtocol(e.Protocol)
	ports := err == nil && protocol.HasPorts()
	fmt.Fprintf(&b, "%s %s -> %s", e.Protocol, endText(e.Src, e.SrcPort, e.SrcPod, ports), endText(e.Dst, e.DstPort, e.DstPod, ports))
	for _, s := range []struct {
		direction rule.Direction
		side      *queue.EventSide
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
func sideText(d rule.Direction, s *queue.EventSide) string {
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
	return fmt.Sprintf("%s by %s %s[%d]", does, s.Policy, d, *s.Rule)
}
