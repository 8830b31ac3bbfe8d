package node_test

import (
	"slices"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/test/policyapi"
)

// TestChangedPoliciesAreSoonPublished measures the time from a change of a policy at the API server
// until the published tree contains the change. A ClusterNetworkPolicy must not take much longer
// than a NetworkPolicy. The changes alternate, so that other programs on the machine affect both
// kinds.
func TestChangedPoliciesAreSoonPublished(t *testing.T) {
	const (
		changes = 21
		factor  = 5
		// margin prevents a failure of the test when both kinds of changes take only a few
		// milliseconds.
		margin = 250 * time.Millisecond
	)
	c := newCluster(t)
	policyapi.Install(t, c, policyapi.V1beta1)
	a := start(t, server.Config(), "publication", t.TempDir())
	c.pod(t, "web", "publication", "10.75.0.1")
	c.pod(t, "db", "publication", "10.75.0.2")
	c.pod(t, "other", "elsewhere", "10.75.0.3")
	np := c.policyFor(t, "db", from("web"))
	cnp := c.clusterPolicy(t, policyapi.V1beta1, denying(c.namespace, "{networks: [10.75.0.8/32]}"))
	a.wantVerdict(t, "10.75.0.3", "10.75.0.2", rule.Deny)
	a.wantVerdict(t, "10.75.0.1", "10.75.0.8", rule.Deny)

	times := map[string][]time.Duration{}
	measure := func(kind, src, dst string, want rule.Verdict, change func()) {
		began := time.Now()
		change()
		a.awaitVerdict(t, src, dst, want)
		times[kind] = append(times[kind], time.Since(began))
	}
	for i := range changes {
		peer, network, verdict := "other", "10.75.0.9/32", rule.Allow
		if i%2 == 1 {
			peer, network, verdict = "web", "10.75.0.8/32", rule.Deny
		}
		measure("NetworkPolicy", "10.75.0.3", "10.75.0.2", verdict, func() {
			np.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{from(peer)}
			c.must(t, c.Update(t.Context(), np))
		})
		measure("ClusterNetworkPolicy", "10.75.0.1", "10.75.0.8", verdict, func() {
			policyapi.SetSpec(t, cnp, denying(c.namespace, "{networks: ["+network+"]}"))
			c.must(t, c.Update(t.Context(), cnp))
		})
	}
	namespaced, clustered := median(times["NetworkPolicy"]), median(times["ClusterNetworkPolicy"])
	t.Logf("medians of %d changes: NetworkPolicy %s, ClusterNetworkPolicy %s", changes, namespaced, clustered)
	if clustered > factor*namespaced+margin {
		t.Errorf("a ClusterNetworkPolicy takes %s, want at most %d times as long as a NetworkPolicy (%s)", clustered, factor, namespaced)
	}
}

func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}

// awaitVerdict is like wantVerdict, but it reads the tree more often.
func (a *agent) awaitVerdict(t *testing.T, src, dst string, want rule.Verdict) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-time.After(200 * time.Microsecond) {
		published, err := a.tree()
		if err != nil {
			t.Fatal(err)
		}
		got := evaluate(published, src, dst).Verdict()
		if err := published.Close(); err != nil {
			t.Fatal(err)
		}
		if got == want {
			return
		}
	}
	t.Fatalf("%s -> %s is not %s within a minute", src, dst, want)
}
