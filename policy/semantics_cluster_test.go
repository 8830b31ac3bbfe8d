package policy_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/read"
	"github.com/sluicenet/sluice/test/cluster"
	"github.com/sluicenet/sluice/test/reference"
)

// tester contains the methods that testing.T and rapid.T share.
type tester interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

// clusterUnderTest is a cluster with one snapshot, and with a compiler and a tree for each
// node. The method apply changes the snapshot, and the method publish updates all trees.
type clusterUnderTest struct {
	tester
	objects  cluster.Objects
	snapshot *policy.Snapshot
	nodes    []*nodeUnderTest
	// sandboxed is true if the snapshot contains sandboxes. In this case, decisions are not
	// compared with the reference implementation, because it evaluates only API objects.
	sandboxed bool
}

func newClusterUnderTest(t tester, dir *stateDirs, nodes []string, objects cluster.Objects) *clusterUnderTest {
	t.Helper()
	w := &clusterUnderTest{tester: t, snapshot: policy.NewSnapshot()}
	for _, c := range objects.Created() {
		w.apply(c)
	}
	for _, name := range nodes {
		w.nodes = append(w.nodes, newNodeUnderTest(t, dir, name, w.snapshot))
	}
	return w
}

// apply applies a change to the snapshot. The trees remain unchanged until the next call of
// publish.
func (w *clusterUnderTest) apply(c cluster.Change) {
	w.Helper()
	w.objects.Apply(c)
	switch object := c.Object.(type) {
	case *corev1.Pod:
		if c.Deleted {
			w.snapshot.DeletePod(object.Namespace, object.Name)
			return
		}
		pod, errors := policy.ReadPod(object)
		if err := errors.Err(); err != nil {
			w.Fatalf("pod %s/%s: %v", object.Namespace, object.Name, err)
		}
		w.snapshot.UpsertPod(pod)
	case *corev1.Namespace:
		if c.Deleted {
			w.snapshot.DeleteNamespace(object.Name)
			return
		}
		w.snapshot.UpsertNamespace(policy.ReadNamespace(object))
	case *corev1.Node:
		if c.Deleted {
			w.snapshot.DeleteNode(object.Name)
			return
		}
		node, errors := policy.ReadNode(object)
		if err := errors.Err(); err != nil {
			w.Fatalf("node %s: %v", object.Name, err)
		}
		w.snapshot.UpsertNode(node)
	case *networkingv1.NetworkPolicy:
		if c.Deleted {
			w.snapshot.DeletePolicy(object.Namespace, object.Name)
			return
		}
		p, _ := read.NetworkPolicy(object)
		w.snapshot.UpsertPolicy(p)
	}
}

func (w *clusterUnderTest) publish() {
	w.Helper()
	for _, n := range w.nodes {
		n.publish(w)
	}
}

// close unmaps the trees and closes the compilers.
func (w *clusterUnderTest) close() {
	for _, n := range w.nodes {
		n.close()
	}
}

// side is one side of a decision.
type side struct {
	Verdict    rule.Verdict
	Reason     rule.Reason
	Rule       reference.RuleRef
	IsolatedBy []string
}

func (s side) String() string {
	switch s.Reason {
	case rule.Matched:
		return fmt.Sprintf("Rule %s[%d]", s.Rule.Policy, s.Rule.Index)
	case rule.NoRuleMatched:
		return "Denied by " + strings.Join(s.IsolatedBy, " ")
	}
	return s.Reason.String()
}

// evaluate evaluates a flow on every node. For each side, at most one node must return a
// verdict. If no node returns a verdict, the source (for egress) or the destination (for
// ingress) is outside the cluster.
func (w *clusterUnderTest) evaluate(f flow.Flow) (egress, ingress side) {
	w.Helper()
	external := side{Verdict: rule.Allow, Reason: rule.External}
	egress, ingress = external, external
	take := func(to *side, direction rule.Direction, node string, got side) {
		if got.Reason == rule.Elsewhere {
			if got.Verdict != rule.Allow {
				w.Fatalf("%s: node %q %s: Elsewhere, but %s", f, node, direction, got.Verdict)
			}
			return
		}
		if to.Reason != rule.External {
			w.Fatalf("%s: node %q evaluates %s too: %s, after %s", f, node, direction, got, *to)
		}
		*to = got
	}
	for _, n := range w.nodes {
		e, i := n.evaluate(f)
		take(&egress, rule.Egress, n.name, e)
		take(&ingress, rule.Ingress, n.name, i)
	}
	return egress, ingress
}

// checkReference compares the decision for a flow with the decision of the reference
// implementation.
func (w *clusterUnderTest) checkReference(f flow.Flow, egress, ingress side) {
	w.Helper()
	if w.sandboxed {
		return
	}
	want := reference.Evaluate(w.objects, f)
	w.checkSide(f, rule.Egress, egress, want.Egress)
	w.checkSide(f, rule.Ingress, ingress, want.Ingress)
}

func (w *clusterUnderTest) checkSide(f flow.Flow, direction rule.Direction, got side, want reference.Side) {
	w.Helper()
	switch {
	case got.Verdict != want.Verdict || got.Reason != want.Reason:
		w.Fatalf("%s: %s: got %s %s, the reference has %s %s (isolated by %v, rules %v)", f, direction, got.Verdict, got, want.Verdict, want.Reason, want.IsolatedBy, want.Rules)
	case got.Reason == rule.Matched && !slices.Contains(want.Rules, got.Rule):
		w.Fatalf("%s: %s: got %s, in the reference the matching rules are %v", f, direction, got, want.Rules)
	case !slices.Equal(got.IsolatedBy, want.IsolatedBy):
		w.Fatalf("%s: %s: isolated by %v, in the reference by %v", f, direction, got.IsolatedBy, want.IsolatedBy)
	}
}

// checkPods checks that a tree marks a pod of its node as isolated if and only if the
// reference implementation isolates the pod. The mark matters because the dataplane queues
// only the packets of isolated pods.
func (w *clusterUnderTest) checkPods() {
	w.Helper()
	outside := map[bool]netip.Addr{true: netip.MustParseAddr("203.0.113.1"), false: netip.MustParseAddr("2001:db8:ffff::1")}
	for _, n := range w.nodes {
		for pod := range n.tree.Pods() {
			for _, a := range pod.Addresses {
				out := reference.Evaluate(w.objects, flow.Flow{Src: a, Dst: outside[a.Is4()]}).Egress
				in := reference.Evaluate(w.objects, flow.Flow{Src: outside[a.Is4()], Dst: a}).Ingress
				if pod.DeniesEgress != (len(out.IsolatedBy) > 0) || pod.DeniesIngress != (len(in.IsolatedBy) > 0) {
					w.Fatalf("node %q: pod %s at %s: isolated for egress %v, ingress %v; in the reference by %v and %v",
						n.name, pod.Name, a, pod.DeniesEgress, pod.DeniesIngress, out.IsolatedBy, in.IsolatedBy)
				}
			}
		}
	}
}
