package node_test

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/policyapi"
)

// denying returns the spec of an Admin policy that selects the pods of a namespace and denies egress to
// the given peers.
func denying(namespace, peers string) string {
	return fmt.Sprintf(`{tier: Admin, priority: 1, subject: {namespaces: {matchLabels: {kubernetes.io/metadata.name: %s}}},
		egress: [{action: Deny, to: [%s]}]}`, namespace, peers)
}

const allPods = "{namespaces: {}}"

// clusterPolicy creates a ClusterNetworkPolicy that is deleted at the end of the test.
func (c *cluster) clusterPolicy(t *testing.T, version, spec string) *unstructured.Unstructured {
	t.Helper()
	p := policyapi.Policy(t, version, c.namespace, spec)
	c.must(t, c.Create(t.Context(), p))
	return p
}

// TestClusterPolicies checks that the agent updates the tree when a ClusterNetworkPolicy is created,
// changed and deleted. The CRD is installed after the agent has started.
func TestClusterPolicies(t *testing.T) {
	c := newCluster(t)
	a := start(t, server.Config(), "tiers", t.TempDir())
	c.pod(t, "web", "tiers", "10.71.0.1")
	c.pod(t, "db", "elsewhere", "10.71.0.2")
	a.wantVerdict(t, "10.71.0.1", "10.71.0.2", rule.Allow)

	policyapi.Install(t, c, policyapi.V1beta1)
	p := c.clusterPolicy(t, policyapi.V1beta1, denying(c.namespace, allPods))
	a.wantVerdict(t, "10.71.0.1", "10.71.0.2", rule.Deny)
	policyapi.SetSpec(t, p, denying(c.namespace, "{networks: [10.71.0.3/32]}"))
	c.must(t, c.Update(t.Context(), p))
	a.wantVerdict(t, "10.71.0.1", "10.71.0.2", rule.Allow)
	a.wantVerdict(t, "10.71.0.1", "10.71.0.3", rule.Deny)
	c.must(t, c.Delete(t.Context(), p))
	a.wantVerdict(t, "10.71.0.1", "10.71.0.3", rule.Allow)
}

// TestDefinitionComesAndGoes tests row S83 of docs/semantics.md. The test removes the CRD,
// installs the CRD with one version, and then installs it with two versions. The agent must be
// ready all the time.
func TestDefinitionComesAndGoes(t *testing.T) {
	c := newCluster(t)
	policyapi.Install(t, c, policyapi.V1beta1)
	c.pod(t, "web", "served", "10.72.0.1")
	c.pod(t, "db", "elsewhere", "10.72.0.2")
	c.clusterPolicy(t, policyapi.V1beta1, denying(c.namespace, allPods))
	a := start(t, server.Config(), "served", t.TempDir())
	a.wantVerdict(t, "10.72.0.1", "10.72.0.2", rule.Deny)

	policyapi.Remove(t, c)
	a.wantVerdict(t, "10.72.0.1", "10.72.0.2", rule.Allow)
	eventually.NoError(t, func() error { return a.ready("api-server") })

	policyapi.Install(t, c, policyapi.V1alpha2)
	p := c.clusterPolicy(t, policyapi.V1alpha2, denying(c.namespace, allPods))
	a.wantVerdict(t, "10.72.0.1", "10.72.0.2", rule.Deny)
	policyapi.Install(t, c, policyapi.V1alpha2, policyapi.V1beta1)
	p.SetAPIVersion("policy.networking.k8s.io/" + policyapi.V1beta1)
	policyapi.SetSpec(t, p, denying(c.namespace, "{networks: [10.72.0.3/32]}"))
	c.must(t, c.Update(t.Context(), p))
	a.wantVerdict(t, "10.72.0.1", "10.72.0.3", rule.Deny)
	a.wantVerdict(t, "10.72.0.1", "10.72.0.2", rule.Allow)
	eventually.NoError(t, func() error { return a.ready("api-server") })
}

// TestFirstTreeContainsClusterPolicies checks that the first tree of an agent contains the existing
// ClusterNetworkPolicies and the nodes to which they refer. Otherwise, a restart of the agent would
// allow denied traffic for a moment.
func TestFirstTreeContainsClusterPolicies(t *testing.T) {
	c := newCluster(t)
	policyapi.Install(t, c, policyapi.V1beta1)
	c.pod(t, "web", "first", "10.73.0.1")
	c.node(t, "first-peer", "192.0.2.73")
	c.clusterPolicy(t, policyapi.V1beta1, denying(c.namespace, allPods+", {nodes: {}}"))
	directory := t.TempDir()
	first := make(chan string, 1)
	a := &agent{stateDir: directory}
	go func() {
		for ; ; <-time.After(time.Millisecond) {
			if tree, err := a.tree(); err == nil {
				verdict := evaluate(tree, "10.73.0.1", "192.0.2.73").Verdict()
				first <- verdict.String()
				_ = tree.Close()
				return
			}
		}
	}()
	start(t, server.Config(), "first", directory)
	if got := <-first; got != rule.Deny.String() {
		t.Errorf("the first tree has the verdict %s, want Deny", got)
	}
}

// TestOtherNodesAreWatchedOnDemand checks that the agent watches the Node objects of other
// nodes only while a policy refers to nodes.
func TestOtherNodesAreWatchedOnDemand(t *testing.T) {
	c := newCluster(t)
	policyapi.Install(t, c, policyapi.V1beta1)
	c.pod(t, "web", "on-demand", "10.74.0.1")
	a := start(t, server.Config(), "on-demand", t.TempDir())
	a.wantVerdict(t, "10.74.0.1", "192.0.2.74", rule.Allow)
	c.node(t, "on-demand-peer", "192.0.2.74")
	for range 2 {
		p := c.clusterPolicy(t, policyapi.V1beta1, denying(c.namespace, "{nodes: {matchLabels: {name: on-demand-peer}}}"))
		a.wantVerdict(t, "10.74.0.1", "192.0.2.74", rule.Deny)
		a.wantVerdict(t, "10.74.0.1", "192.0.2.75", rule.Allow)
		c.must(t, c.Delete(t.Context(), p))
		a.wantVerdict(t, "10.74.0.1", "192.0.2.74", rule.Allow)
		eventually.True(t, "the agent forgets the other nodes", func() bool { return !a.hasMetric(t, "sluice_agent_objects", "OtherNode") })
	}
}

// node creates a Node with an address. Its label `name` is its name.
func (c *cluster) node(t *testing.T, name, address string) {
	t.Helper()
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"name": name}}}
	c.must(t, c.Create(t.Context(), n))
	n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: address}}
	c.must(t, c.Status().Update(t.Context(), n))
}
