package node_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/tree"
	"github.com/sluicenet/sluice/test/eventually"
)

// startingPod creates a pod that is bound to a node and has no address yet.
func (c *cluster) startingPod(t *testing.T, name, nodeName string) *corev1.Pod {
	t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: name, Labels: map[string]string{"app": name}},
		Spec:       corev1.PodSpec{NodeName: nodeName, Containers: []corev1.Container{{Name: "main", Image: "main"}}},
	}
	c.must(t, c.Create(t.Context(), pod))
	return pod
}

// publish publishes sandboxes as the dataplane does.
func (a *agent) publish(t *testing.T, list ...report.Sandbox) {
	t.Helper()
	if err := statedir.WriteSandboxes(a.stateDir, report.Sandboxes{Available: true, Sandboxes: list}); err != nil {
		t.Fatal(err)
	}
}

func sandboxOf(pod *corev1.Pod, addresses ...string) report.Sandbox {
	out := report.Sandbox{Namespace: pod.Namespace, Name: pod.Name, UID: string(pod.UID), Network: "pods", Interface: "eth0"}
	for _, a := range addresses {
		out.Addresses = append(out.Addresses, netip.MustParseAddr(a))
	}
	return out
}

func (a *agent) wantLingering(t *testing.T, want float64) {
	t.Helper()
	eventually.NoError(t, func() error {
		if got := a.metric(t, "sluice_agent_lingering_pods", ""); got != want {
			return fmt.Errorf("%v lingering pods, want %v", got, want)
		}
		return nil
	})
}

// TestSandboxes checks that a pod is isolated as soon as its sandbox is published, and stays
// isolated until the sandbox ends. This includes the time before the API server has the pod's
// address, a restart of the agent, and the time after the Pod object was deleted by force.
func TestSandboxes(t *testing.T) {
	c := newCluster(t)
	a := start(t, server.Config(), "sandboxes", t.TempDir())
	c.policyFor(t, "web")
	// The dataplane may publish the sandbox of a pod before the agent has received the Pod
	// object.
	a.publish(t, report.Sandbox{Namespace: "elsewhere", Name: "x", UID: "x", Interface: "eth0", Addresses: []netip.Addr{netip.MustParseAddr("10.21.0.9")}})
	web := c.startingPod(t, "web", "sandboxes")
	a.publish(t, sandboxOf(web, "10.21.0.1", "fd21::1"))
	a.wantVerdict(t, "192.0.2.1", "10.21.0.1", rule.Deny)
	a.wantVerdict(t, "2001:db8::1", "fd21::1", rule.Deny)

	a.stop()
	if err := os.RemoveAll(statedir.Current(a.stateDir)); err != nil {
		t.Fatal(err)
	}
	a = start(t, server.Config(), "sandboxes", a.stateDir)
	eventually.NoError(t, func() error { return a.ready("published") })
	// The first tree of the restarted agent contains the sandboxes.
	a.wantVerdict(t, "192.0.2.1", "10.21.0.1", rule.Deny)

	c.must(t, c.Delete(t.Context(), web, now))
	a.wantLingering(t, 1)
	a.wantVerdict(t, "192.0.2.1", "10.21.0.1", rule.Deny)
	// The next pod has the same name but other labels.
	next := c.startingPod(t, "web", "sandboxes")
	next.Labels["app"] = "other"
	c.must(t, c.Update(t.Context(), next))
	a.publish(t, sandboxOf(web, "10.21.0.1", "fd21::1"), sandboxOf(next, "10.21.0.2"))
	other := c.policyFor(t, "other")
	a.wantVerdict(t, "192.0.2.1", "10.21.0.2", rule.Deny)
	a.wantVerdict(t, "192.0.2.1", "10.21.0.1", rule.Deny)
	c.must(t, c.Delete(t.Context(), other))
	a.wantVerdict(t, "192.0.2.1", "10.21.0.2", rule.Allow)

	a.publish(t, sandboxOf(next, "10.21.0.2"))
	a.wantVerdict(t, "192.0.2.1", "10.21.0.1", rule.Allow)
	a.wantLingering(t, 0)
	if got := a.metric(t, "sluice_agent_sandboxes", ""); got != 1 {
		t.Errorf("%v sandboxes in the metrics, want 1", got)
	}
}

// TestRoutes checks that on a node without CNI results, a pod whose object was deleted by force
// stays isolated while the dataplane reports a route to the pod.
func TestRoutes(t *testing.T) {
	c := newCluster(t)
	a := start(t, server.Config(), "routes", t.TempDir())
	c.policyFor(t, "web")
	web := c.pod(t, "web", "routes", "10.23.0.1")
	publish := func(routed ...netip.Addr) {
		t.Helper()
		c.must(t, statedir.WriteSandboxes(a.stateDir, report.Sandboxes{Reason: "no directory", Routed: routed}))
	}
	publish(netip.MustParseAddr("10.23.0.1"))
	a.wantVerdict(t, "192.0.2.1", "10.23.0.1", rule.Deny)
	c.must(t, c.Delete(t.Context(), web, now))
	a.wantLingering(t, 1)
	// A dataplane that has just started has not read the routes yet.
	publish()
	a.wantVerdict(t, "192.0.2.1", "10.23.0.1", rule.Deny)
	publish(netip.MustParseAddr("10.23.0.2"))
	a.wantVerdict(t, "192.0.2.1", "10.23.0.1", rule.Allow)
	a.wantLingering(t, 0)
}

// TestSandboxesOfADeletedNamespace deletes a namespace. The namespace's policies are deleted
// before its pods. A pod that still has a sandbox must stay isolated.
func TestSandboxesOfADeletedNamespace(t *testing.T) {
	c := newCluster(t)
	a := start(t, server.Config(), "ending", t.TempDir())
	np := c.policyFor(t, "web")
	web := c.pod(t, "web", "ending", "10.22.0.1")
	open := c.pod(t, "open", "ending", "10.22.0.2")
	a.publish(t, sandboxOf(web, "10.22.0.1"), sandboxOf(open, "10.22.0.2"))
	a.wantVerdict(t, "192.0.2.1", "10.22.0.1", rule.Deny)
	var namespace corev1.Namespace
	namespace.Name = c.namespace
	c.must(t, c.Delete(t.Context(), &namespace))
	// The namespace controller deletes the content of a namespace 5 s after the deletion of the
	// namespace. A later event in another namespace shows that the agent has processed this
	// deletion.
	c.must(t, c.Delete(t.Context(), np))
	c.must(t, c.Delete(t.Context(), web, now))
	c.must(t, c.Delete(t.Context(), open, now))
	a.wantLingering(t, 2)
	a.wantVerdict(t, "192.0.2.1", "10.22.0.1", rule.Deny)
	a.wantVerdict(t, "192.0.2.1", "10.22.0.2", rule.Allow)
	a.publish(t)
	a.wantVerdict(t, "192.0.2.1", "10.22.0.1", rule.Allow)
}

// TestSandboxesCondition checks the condition PodsKnownEarly of the NodeEnforcer. The condition
// reports whether the agent receives a pod's addresses before the pod starts.
func TestSandboxesCondition(t *testing.T) {
	c := newCluster(t)
	c.must(t, c.Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "results"}}))
	a := start(t, server.Config(), "results", t.TempDir())
	want := func(status metav1.ConditionStatus, reason v1alpha1.Reason) {
		t.Helper()
		a.wantStatus(t, c, func(s *v1alpha1.NodeEnforcerStatus) error {
			i := slices.IndexFunc(s.Conditions, func(c metav1.Condition) bool { return c.Type == string(v1alpha1.ConditionPodsKnownEarly) })
			if i < 0 || s.Conditions[i].Status != status {
				return fmt.Errorf("conditions %v, want %s", s.Conditions, status)
			}
			return errors.Join(
				conditionIs(s, v1alpha1.ConditionPodsKnownEarly, reason),
				conditionIs(s, v1alpha1.ConditionHeldPacketsEvaluated, v1alpha1.ReasonNoDataplane),
			)
		})
	}
	want(metav1.ConditionUnknown, v1alpha1.ReasonNoSandboxes)
	write := func(s report.Sandboxes) { t.Helper(); c.must(t, statedir.WriteSandboxes(a.stateDir, s)) }
	write(report.Sandboxes{Reason: "no such directory"})
	want(metav1.ConditionFalse, v1alpha1.ReasonNoCNIResults)
	write(report.Sandboxes{Available: true, Skipped: 1, SkippedReason: "too large"})
	want(metav1.ConditionFalse, v1alpha1.ReasonUnusableCNIResults)
	a.publish(t)
	want(metav1.ConditionUnknown, v1alpha1.ReasonEmptyCNIResults)
	web := c.startingPod(t, "web", "results")
	c.policyFor(t, "web")
	a.publish(t, sandboxOf(web, "10.23.0.1"))
	want(metav1.ConditionTrue, v1alpha1.ReasonCNIResults)
	// If the file is damaged, the previous sandboxes remain.
	c.must(t, os.WriteFile(statedir.Sandboxes(a.stateDir), []byte("{"), 0o600))
	want(metav1.ConditionFalse, v1alpha1.ReasonNoSandboxes)
	a.wantVerdict(t, "192.0.2.1", "10.23.0.1", rule.Deny)
}

// TestSandboxesArePublishedAtOnce measures the time from the publication of a sandbox list to
// the publication of a tree that contains the sandbox. The Pod object already exists.
func TestSandboxesArePublishedAtOnce(t *testing.T) {
	c := newCluster(t)
	a := start(t, server.Config(), "latency", t.TempDir())
	c.policyFor(t, "web")
	web := c.startingPod(t, "web", "latency")
	eventually.NoError(t, func() error { return a.ready("published") })
	a.wantVerdict(t, "192.0.2.1", "10.24.0.1", rule.Allow)
	published := make(chan uint64, 1000)
	go func() {
		_ = statedir.Watch(t.Context(), a.stateDir, func(current *tree.Tree, err error) {
			if err == nil {
				published <- current.Generation()
				_ = current.Close()
			}
		})
	}()
	var took []time.Duration
	for i := range 20 {
		address := netip.AddrFrom4([4]byte{10, 24, 1, byte(i)}).String()
		before := a.generation(t)
		began := time.Now()
		a.publish(t, sandboxOf(web, address))
		for generation := range published {
			if generation > before {
				break
			}
		}
		took = append(took, time.Since(began))
		a.wantVerdict(t, "192.0.2.1", address, rule.Deny)
	}
	slices.Sort(took)
	t.Logf("from the sandbox to the published tree: median %s, slowest %s", took[len(took)/2], took[len(took)-1])
	if median := took[len(took)/2]; median > 200*time.Millisecond {
		t.Errorf("the median is %s, want at most 200 ms", median)
	}
}

// TestAnnouncedAddress checks that the agent uses an address from a network plugin's annotation
// only as long as no other pod of the node might have this address.
func TestAnnouncedAddress(t *testing.T) {
	c := newCluster(t)
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "announced"}, Spec: corev1.NodeSpec{PodCIDR: "10.25.0.0/24", PodCIDRs: []string{"10.25.0.0/24"}}}
	c.must(t, c.Create(t.Context(), node))
	a := start(t, server.Config(), "announced", t.TempDir())
	c.policyFor(t, "web")
	web := c.startingPod(t, "web", "announced")
	web.Annotations = map[string]string{"cni.projectcalico.org/podIPs": "10.25.0.5/32"}
	c.must(t, c.Update(t.Context(), web))
	a.wantVerdict(t, "192.0.2.1", "10.25.0.5", rule.Deny)
	other := c.startingPod(t, "other", "announced")
	a.wantVerdict(t, "192.0.2.1", "10.25.0.5", rule.Allow)
	c.must(t, c.Delete(t.Context(), other, now))
	a.wantVerdict(t, "192.0.2.1", "10.25.0.5", rule.Deny)
	// CNI results take precedence over announced addresses.
	a.publish(t)
	a.wantVerdict(t, "192.0.2.1", "10.25.0.5", rule.Allow)
}
