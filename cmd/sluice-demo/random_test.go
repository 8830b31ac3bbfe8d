package main

import (
	"fmt"
	"io"
	"net/netip"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluicenet/sluice/cmd/sluice-demo/internal/demo"
	"github.com/sluicenet/sluice/cmd/sluice-demo/internal/topology"
	"github.com/sluicenet/sluice/cmd/sluice-demo/internal/wire"
	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/read"
	"github.com/sluicenet/sluice/test/cluster"
	"github.com/sluicenet/sluice/test/reference"
)

// The test compares the results in random clusters with the decisions of test/reference,
// which shares no code with the dataplane.
func TestRandomClustersOnTheWire(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			objects := cluster.NewRandom(cluster.Seeded(seed)).Objects
			report, err := demo.Run(t.Context(), demo.Options{
				Title:   "a random cluster",
				Set:     setOf(t, &objects),
				Ports:   []topology.Port{{Protocol: flow.TCP, Number: 80}, {Protocol: flow.UDP, Number: 53}, {Protocol: flow.SCTP, Number: 80}, topology.Ping},
				Timeout: 900 * time.Millisecond,
				Program: sluice,
				Out:     io.Discard,
			})
			if err != nil {
				t.Fatalf("%v\n%s", err, &objects)
			}
			if !report.Agree {
				t.Errorf("results and policies differ")
			}
			tried := enforced(report, &objects)
			for _, c := range report.Rounds[0].Connections {
				f := connectionFlow(t, &c)
				want := reference.Evaluate(tried, f)
				if got := c.Wire == "connected"; got != (want.Verdict == rule.Allow) {
					t.Errorf("%s (%s -> %s): %s, want %s", f, c.From, c.To, c.Wire, want.Verdict)
				}
			}
			if t.Failed() {
				t.Logf("cluster:\n%s", &objects)
			}
		})
	}
}

func setOf(t *testing.T, objects *cluster.Objects) *inventory.Set {
	t.Helper()
	set := &inventory.Set{}
	for _, in := range objects.Namespaces {
		set.Namespaces = append(set.Namespaces, inventory.Namespace{Namespace: policy.ReadNamespace(in)})
	}
	for _, in := range objects.Pods {
		pod, errors := policy.ReadPod(in)
		if err := errors.Err(); err != nil {
			t.Fatal(err)
		}
		set.Pods = append(set.Pods, inventory.Pod{Pod: *pod})
	}
	for _, in := range objects.Policies {
		p, _ := read.NetworkPolicy(in)
		set.Policies = append(set.Policies, inventory.Policy{Policy: p})
	}
	return set
}

// enforced returns the objects for which the demo enforced policies. They include only the
// pods that the demo started, with the addresses that the demo assigned to these pods.
func enforced(report *wire.Report, objects *cluster.Objects) cluster.Objects {
	addresses := map[string][]netip.Addr{}
	for _, e := range report.Ends {
		addresses[e.Name] = e.Addresses
	}
	out := cluster.Objects{Namespaces: objects.Namespaces, Policies: objects.Policies}
	node := &corev1.Node{}
	node.Name = "node"
	for _, a := range addresses["the node"] {
		node.Status.Addresses = append(node.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: a.String()})
	}
	out.Nodes = []*corev1.Node{node}
	for _, in := range objects.Pods {
		own, started := addresses[in.Namespace+"/"+in.Name]
		if !started {
			continue
		}
		pod := in.DeepCopy()
		pod.Spec.NodeName = node.Name
		pod.Status = corev1.PodStatus{Phase: corev1.PodRunning}
		for _, a := range own {
			pod.Status.PodIPs = append(pod.Status.PodIPs, corev1.PodIP{IP: a.String()})
		}
		out.Pods = append(out.Pods, pod)
	}
	return out
}

func connectionFlow(t *testing.T, c *wire.Connection) flow.Flow {
	t.Helper()
	protocol, err := flow.ParseProtocol(c.Protocol)
	if err != nil {
		t.Fatal(err)
	}
	return flow.Flow{Src: c.Src, Dst: c.Dst, Protocol: protocol, DstPort: c.Port}
}
