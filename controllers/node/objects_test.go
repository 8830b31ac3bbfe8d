package node_test

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/dataplane/rule"
)

// TestPolicies checks that the agent updates the tree when a policy is created, changed and
// deleted.
func TestPolicies(t *testing.T) {
	c := newCluster(t)
	a := start(t, server.Config(), "policies", t.TempDir())
	c.pod(t, "web", "policies", "10.1.0.1")
	c.pod(t, "db", "policies", "10.1.0.2")
	c.pod(t, "other", "elsewhere", "10.1.0.3")
	a.wantVerdict(t, "10.1.0.3", "10.1.0.2", rule.Allow)

	np := c.policyFor(t, "db", from("web"))
	a.wantVerdict(t, "10.1.0.3", "10.1.0.2", rule.Deny)
	a.wantVerdict(t, "10.1.0.1", "10.1.0.2", rule.Allow)

	np.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{from("other")}
	c.must(t, c.Update(t.Context(), np))
	a.wantVerdict(t, "10.1.0.3", "10.1.0.2", rule.Allow)
	a.wantVerdict(t, "10.1.0.1", "10.1.0.2", rule.Deny)

	c.must(t, c.Delete(t.Context(), np))
	a.wantVerdict(t, "10.1.0.1", "10.1.0.2", rule.Allow)
	if n := a.metric(t, "sluice_agent_event_to_publication_seconds", ""); n == 0 {
		t.Error("no time from event to publication was measured")
	}
	if got, want := a.metric(t, "sluice_agent_published_generation", ""), a.generation(t); uint64(got) != want {
		t.Errorf("published generation %v in the metrics, %d on disk", got, want)
	}
}

// TestPods checks that the agent updates the tree when labels, addresses and phases of pods
// change, and when a new pod immediately reuses an address.
func TestPods(t *testing.T) {
	c := newCluster(t)
	a := start(t, server.Config(), "pods", t.TempDir())
	c.pod(t, "db", "pods", "10.2.0.2")
	c.policyFor(t, "db", from("web"))
	guest := c.pod(t, "guest", "elsewhere", "10.2.0.3")
	a.wantVerdict(t, "10.2.0.3", "10.2.0.2", rule.Deny)

	guest.Labels["app"] = "web"
	c.must(t, c.Update(t.Context(), guest))
	a.wantVerdict(t, "10.2.0.3", "10.2.0.2", rule.Allow)

	c.must(t, c.Delete(t.Context(), guest, now))
	c.pod(t, "other", "elsewhere", "10.2.0.3")
	a.wantVerdict(t, "10.2.0.3", "10.2.0.2", rule.Deny)

	web := c.pod(t, "web", "elsewhere", "10.2.0.4")
	a.wantVerdict(t, "10.2.0.4", "10.2.0.2", rule.Allow)
	web.Status.Phase = corev1.PodSucceeded
	c.must(t, c.Status().Update(t.Context(), web))
	a.wantVerdict(t, "10.2.0.4", "10.2.0.2", rule.Deny)
}

// TestNamespacesAndNodes checks that the agent updates the tree when the labels of
// namespaces and the addresses of nodes change.
func TestNamespacesAndNodes(t *testing.T) {
	c, other := newCluster(t), newCluster(t)
	a := start(t, server.Config(), "nodes", t.TempDir())
	c.pod(t, "db", "nodes", "10.3.0.2")
	c.policyFor(t, "db", fromNamespaces("team", "blue"))
	other.pod(t, "web", "elsewhere", "10.3.0.3")
	a.wantVerdict(t, "10.3.0.3", "10.3.0.2", rule.Deny)

	var namespace corev1.Namespace
	c.must(t, c.Get(t.Context(), client.ObjectKey{Name: other.namespace}, &namespace))
	namespace.Labels["team"] = "blue"
	c.must(t, c.Update(t.Context(), &namespace))
	a.wantVerdict(t, "10.3.0.3", "10.3.0.2", rule.Allow)
	namespace.Labels["team"] = "red"
	c.must(t, c.Update(t.Context(), &namespace))
	a.wantVerdict(t, "10.3.0.3", "10.3.0.2", rule.Deny)

	// Connections from the pod's own node are always allowed. The address 192.0.2.1 does not
	// belong to the node yet.
	a.wantVerdict(t, "192.0.2.1", "10.3.0.2", rule.Deny)
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "nodes"}}
	c.must(t, c.Create(t.Context(), node))
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "192.0.2.1"}}
	c.must(t, c.Status().Update(t.Context(), node))
	a.wantVerdict(t, "192.0.2.1", "10.3.0.2", rule.Allow)
	c.must(t, c.Delete(t.Context(), node))
	a.wantVerdict(t, "192.0.2.1", "10.3.0.2", rule.Deny)
}

// TestOtherNodesAreNotWatched checks that an agent does not receive the Node objects of other
// nodes. Otherwise, the total number of requests of all agents would grow with the square of the
// number of nodes.
func TestOtherNodesAreNotWatched(t *testing.T) {
	c := newCluster(t)
	for _, name := range []string{"own-node", "other-node"} {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
		c.must(t, c.Create(t.Context(), node))
		t.Cleanup(func() { c.must(t, c.Delete(context.Background(), node)) })
	}
	a := start(t, server.Config(), "own-node", t.TempDir())
	c.pod(t, "db", "own-node", "10.4.0.2")
	a.wantVerdict(t, "192.0.2.1", "10.4.0.2", rule.Allow)
	if n := a.metric(t, "sluice_agent_objects", "Node"); n != 1 {
		t.Errorf("the agent received %g Nodes, want only its own", n)
	}
}
