package status_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/query/status"
	"github.com/sluicenet/sluice/test/golden"
)

func TestNodeStatusText(t *testing.T) {
	now := time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)
	enforcing := report.Status{
		Node: "n1", Started: now.Add(-26*time.Hour - 4*time.Minute), Published: 7, Seen: 7, Generation: 7,
		Pods: 30, IsolatedPods: 12, Hits: &report.Hits{Since: now.Add(-26 * time.Hour), Rules: 40, Unused: 3}, Queueing: "queue expression", QueueBase: 2700, Queues: 2,
		FailurePolicy: "Closed", Deny: "Drop", MarkMask: 0x60, Repairs: 1,
		Verdicts: report.Stats{
			Packets: 190, Batches: 100, Accepted: 100, Denied: 83, MidStream: 4,
			Unreadable: map[string]uint64{"truncated": 2, "fragment": 1},
			Sides: []report.SideCount{
				{Direction: "egress", Family: "IPv4", Protocol: "TCP", Verdict: "Deny"},
				{Direction: "egress", Family: "IPv4", Protocol: "TCP", Verdict: "Allow"},
				{Direction: "ingress", Family: "IPv4", Protocol: "TCP", Verdict: "Deny", Count: 80},
				{Direction: "ingress", Family: "IPv4", Protocol: "TCP", Verdict: "Allow", Count: 100},
				{Direction: "ingress", Family: "IPv6", Protocol: "ICMP", Verdict: "Deny", Count: 3},
				{Direction: "ingress", Family: "IPv6", Protocol: "ICMP", Verdict: "Allow"},
			},
			QueueDropped: 9, SocketDropped: 1, Waiting: 2,
		},
		Conntrack: &report.Conntrack{Entries: 235929, Max: 262144},
		Held: report.Held{
			Limit: 3 * time.Second, Waiting: 2, Released: 40, NotPods: 7, TimedOut: 3, NoAgent: 4, OverLimit: 5, PodRanges: true, PeersAllowed: 6, PeersDenied: 8,
			Learned: []string{"docker0", "virbr0"}, CNIResults: true, AgentGone: true,
		},
		Reevaluated: report.Reevaluated{Walks: 7, Last: &report.Walk{
			At: now.Add(-90 * time.Second), Connections: 1042, Accepted: 3, Denied: 2, Cleared: 1, Took: 12345678,
		}},
	}
	rejected, behind, walking := enforcing, enforcing, enforcing
	rejected.Published, rejected.Rejected = 8, &report.RejectedTree{At: now.Add(-3 * time.Second), Reason: "opening tree /run/sluice/tree/8.tree: corrupt tree: wrong checksum"}
	behind.Published = 8
	walking.Published, walking.Seen = 8, 8
	bypassed := enforcing
	bypassed.Conntrack = &report.Conntrack{Entries: 235929}
	bypassed.PodPackets = &report.PodPackets{Observed: 20, Bypassed: 1, Idle: 9, Examples: []report.BypassedInterface{
		{Interface: "veth7", Pod: "shop/db", Sent: 200, Seen: 2},
	}}
	waiting := report.Status{
		Started: now.Add(-5 * time.Second), QueueBase: 2700, Queues: 1,
		FailurePolicy: "Open", Deny: "Reject", MarkMask: 0x60,
	}
	booted := waiting
	booted.Queueing, booted.Held = "queue expression", report.Held{Limit: 3 * time.Second}
	var got bytes.Buffer
	for _, c := range []struct {
		name   string
		status report.Status
	}{{"enforcing", enforcing}, {"a rejected tree", rejected}, {"a tree that is not enforced yet", behind}, {"open connections are not re-evaluated yet", walking}, {"packets of a pod bypass netfilter", bypassed}, {"no tree yet", waiting}, {"no tree yet, and packets are held", booted}} {
		fmt.Fprintf(&got, "## %s\n", c.name)
		if err := status.NewNode(c.status, now).WriteText(&got); err != nil {
			t.Fatal(err)
		}
	}
	golden.Compare(t, filepath.Join("testdata", "node.golden"), got.String())
}

func TestNodeStatusOfBridges(t *testing.T) {
	for _, c := range []struct {
		bridges report.Bridges
		want    string
	}{
		{report.Bridges{Names: []string{"cni0", "cni1"}}, "bridges           cni0, cni1; VLAN-tagged frames are dropped\n"},
		{report.Bridges{Names: []string{"cni0"}, TaggedFrames: "no such table"}, "bridges           cni0; VLAN-tagged frames are not dropped: no such table\n"},
		{
			report.Bridges{Names: []string{"cni0"}, Disabled: []string{"net.bridge.bridge-nf-call-iptables"}},
			"NOT ENFORCED between the pods of cni0:\n  load br_netfilter, and set to 1: net.bridge.bridge-nf-call-iptables\n",
		},
	} {
		var got bytes.Buffer
		if err := status.NewNode(report.Status{Bridges: &c.bridges}, time.Now()).WriteText(&got); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(got.String(), c.want) {
			t.Errorf("%+v: want\n%s\nin\n%s", c.bridges, c.want, &got)
		}
	}
}
