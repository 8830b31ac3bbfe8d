package policy_test

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/network-policy-api/apis/v1beta1"

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
// node. The `apply` method changes the snapshot, and the `publish` method updates all trees.
type clusterUnderTest struct {
	tester
	objects  cluster.Objects
	snapshot *policy.Snapshot
	nodes    []*nodeUnderTest
	// sandboxed is true if the snapshot contains sandboxes. The reference implementation evaluates
	// only API objects, so it is not used in this case.
	sandboxed bool
	// encoded is the number of ClusterNetworkPolicies that were read.
	encoded int
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
	case *v1beta1.ClusterNetworkPolicy:
		if c.Deleted {
			w.snapshot.DeletePolicy("", object.Name)
			return
		}
		w.snapshot.UpsertPolicy(w.readClusterPolicy(object))
	}
}

// readClusterPolicy reads a policy from the encoding of an API server. Both served versions must
// have the same meaning (S83), so the version alternates.
func (w *clusterUnderTest) readClusterPolicy(object *v1beta1.ClusterNetworkPolicy) *policy.Policy {
	w.Helper()
	versions := cluster.ClusterPolicyVersions()
	w.encoded++
	in, err := cluster.EncodeClusterPolicy(object, versions[w.encoded%len(versions)])
	if err != nil {
		w.Fatalf("ClusterNetworkPolicy %s: %v", object.Name, err)
	}
	p, _ := read.ClusterNetworkPolicy(in)
	return p
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

// side is one side of a decision. Its fields have the same meaning as those of reference.Side, but
// Rules contains only the rule that the tree names.
type side = reference.Side

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

func (w *clusterUnderTest) checkSide(f flow.Flow, direction rule.Direction, got, want side) {
	w.Helper()
	switch {
	case got.Verdict != want.Verdict || got.Reason != want.Reason || got.Action != want.Action || got.Tier != want.Tier:
		w.Fatalf("%s: %s: got %s %s, the reference has %s %s (isolated by %v, rules %v)", f, direction, got.Verdict, got, want.Verdict, want, want.IsolatedBy, want.Rules)
	case got.Reason == rule.Matched && !slices.Contains(want.Rules, got.Rules[0]):
		w.Fatalf("%s: %s: got %s, in the reference the matching rules are %v", f, direction, got, want.Rules)
	case !slices.Equal(got.Passes, want.Passes):
		w.Fatalf("%s: %s: got %s, the reference has %s", f, direction, got, want)
	case !slices.Equal(got.IsolatedBy, want.IsolatedBy):
		w.Fatalf("%s: %s: isolated by %v, in the reference by %v", f, direction, got.IsolatedBy, want.IsolatedBy)
	case got.Verdict == rule.Deny && !w.denies(f, direction):
		w.Fatalf("%s: %s: denied, but the tree does not mark the pod", f, direction)
	}
}

// denies reports whether a tree states that the policies of the pod can deny flows in a direction.
func (w *clusterUnderTest) denies(f flow.Flow, direction rule.Direction) bool {
	address := f.Src
	if direction == rule.Ingress {
		address = f.Dst
	}
	for _, n := range w.nodes {
		for pod := range n.tree.Pods() {
			if slices.Contains(pod.Addresses, address) && (direction == rule.Egress && pod.DeniesEgress || direction == rule.Ingress && pod.DeniesIngress) {
				return true
			}
		}
	}
	return false
}

// checkPods checks that a tree marks a direction of a pod only if a policy can deny a flow in this
// direction (S81). The mark matters because the dataplane queues only the packets of marked
// directions. The function checkSide checks that no mark is missing.
func (w *clusterUnderTest) checkPods() {
	w.Helper()
	for _, n := range w.nodes {
		for pod := range n.tree.Pods() {
			for _, a := range pod.Addresses {
				out, in := reference.MayDeny(w.objects, a, rule.Egress), reference.MayDeny(w.objects, a, rule.Ingress)
				if pod.DeniesEgress && !out || pod.DeniesIngress && !in {
					w.Fatalf("node %q: pod %s at %s: denies egress %t, ingress %t; in the reference %t and %t",
						n.name, pod.Name, a, pod.DeniesEgress, pod.DeniesIngress, out, in)
				}
			}
		}
	}
}
