package netpol_test

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/test/lab"
	"github.com/sluicenet/sluice/test/labcluster"
)

// newCluster starts a cluster that only one test uses, so that this test can stop or kill the
// processes of the cluster.
func newCluster(t *testing.T) *labcluster.Cluster {
	t.Helper()
	return newClusterOf(t, labcluster.Options{Program: sluice, Spec: v1alpha1.EnforcerSpec{DenyAction: v1alpha1.DenyReject}})
}

func newClusterOf(t *testing.T, options labcluster.Options) *labcluster.Cluster {
	t.Helper()
	c, err := labcluster.New(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// guard repeatedly tries to open connections that policies deny. It runs until its method `stop` is
// called.
type guard struct {
	fixture *fixture
	cancel  context.CancelFunc
	all     sync.WaitGroup
	tried   atomic.Uint64
	passed  atomic.Uint64
}

// guard starts repeated attempts to connect from one pod to TCP port 80 of another pod, over both
// address families. The policies must deny these connections.
func (s *fixture) guard(from, to string) *guard {
	s.Helper()
	ctx, cancel := context.WithCancel(s.Context())
	g := &guard{fixture: s, cancel: cancel}
	host, target := s.end(from).Host, s.end(to)
	for _, address := range target.Addresses {
		g.all.Go(func() {
			for ctx.Err() == nil {
				wait(guardPause)
				got, err := host.Probe(ctx, flow.TCP, netip.Addr{}, netip.AddrPortFrom(address, 80), denialTime)
				if err != nil {
					return
				}
				g.tried.Add(1)
				if got == lab.Connected {
					g.passed.Add(1)
				}
			}
		})
	}
	s.Cleanup(func() { cancel(); g.all.Wait() })
	return g
}

const (
	denialTime = 200 * time.Millisecond
	// guardPause is the pause between two attempts. During the pause, other processes can use
	// the processor.
	guardPause = 2 * time.Millisecond
)

// stop stops the guard. It fails the test if the guard opened a connection, or if the guard
// made no attempt.
func (g *guard) stop() {
	g.fixture.Helper()
	g.cancel()
	g.all.Wait()
	g.fixture.Logf("attempted %d connections that must be denied", g.tried.Load())
	if n := g.passed.Load(); n > 0 || g.tried.Load() == 0 {
		g.fixture.Errorf("of %d connections that must be denied, %d were opened", g.tried.Load(), n)
	}
}

// TestAgentKilled repeatedly kills agents while policies change. Every version of the policies
// denies certain connections. The test checks that these connections are never opened, and that
// the final policies are enforced.
func TestAgentKilled(t *testing.T) {
	t.Parallel()
	s := newFixture(t, newCluster(t))
	s.apply("x/sealed", `{podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress]}`)
	s.holds("*/* -> x/a denied", "*/* -> x/b allowed")
	guards := []*guard{s.guard("y/a", "x/a"), s.guard("z/b", "x/a"), s.guard("x/c", "x/a")}
	specs := []string{denyIngress, allowIn, denyEgress, allowOut, denyAll, `{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: "y"}}}]}]}`}
	const rounds = 30
	kills := 0
	for round := range rounds {
		// The policy for x/a stays the same. The policies for all other pods change.
		s.apply("x/changing", exceptSealed(specs[rand.N(len(specs))]))
		s.apply("y/changing", specs[rand.N(len(specs))])
		s.label("z", "round", string(rune('a'+round%26)))
		node := s.cluster.Node(round % len(s.cluster.Nodes()))
		// Kill the agent at a random time: before, during or after its first list of objects.
		wait(rand.N(400 * time.Millisecond))
		node.Agent().Kill()
		kills++
		s.must(node.StartAgent())
	}
	t.Logf("%d agents were killed", kills)
	s.apply("x/changing", exceptSealed(specs[5]))
	s.remove("y/changing")
	s.holds("y/* -> x/b allowed", "z/* -> x/b denied", "*/* -> x/a denied", "x/* -> y/* allowed")
	for _, g := range guards {
		g.stop()
	}
}

// exceptSealed changes the podSelector in the spec of a policy. The old podSelector, {},
// selects every pod. The new podSelector selects every pod except x/a.
func exceptSealed(spec string) string {
	return `{podSelector: {matchExpressions: [{key: pod, operator: NotIn, values: [a]}]}` + spec[len(`{podSelector: {}`):]
}

// wait sleeps for a duration.
func wait(d time.Duration) {
	<-time.After(d)
}

// TestServerAway disconnects all agents from the API server while other clients change objects. It
// checks that the old policies stay enforced during this time, and that the changes are enforced
// afterwards.
func TestServerAway(t *testing.T) {
	t.Parallel()
	s := newFixture(t, newCluster(t))
	s.apply("x/in", `{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: "y"}}}]}]}`)
	before := []string{"y/* -> x/* allowed", "z/* -> x/* denied", "x/* -> y/* allowed"}
	s.holds(before...)
	ends := s.ends()
	table, err := s.cluster.Plan(t.Context(), ends, s.targets)
	s.must(err)
	for _, n := range s.cluster.Nodes() {
		s.must(n.Link().Cut())
	}
	away := time.Now()
	guard := s.guard("z/a", "x/a")
	s.apply("x/in", `{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: "z"}}}]}]}`)
	s.apply("y/deny", denyIngress)
	s.label("z/b", "moved", "yes")
	for time.Since(away) < awayTime {
		s.must(s.cluster.Open(t.Context(), table, ends))
		for _, difference := range table.Differences() {
			t.Error(difference)
		}
		wait(time.Second)
	}
	// If an agent starts without a connection to the API server, it must not publish a tree that
	// changes verdicts.
	s.cluster.Node(0).Agent().Kill()
	s.must(s.cluster.Node(0).StartAgent())
	wait(2 * time.Second)
	s.must(s.cluster.Open(t.Context(), table, ends))
	for _, difference := range table.Differences() {
		t.Error(difference)
	}
	guard.stop()
	for _, n := range s.cluster.Nodes() {
		s.must(n.Link().Restore())
	}
	s.must(s.cluster.WaitEnforced(t.Context()))
	s.check("z/* -> x/* allowed", "y/* -> x/* denied", "*/* -> y/* denied")
}

// awayTime is the time for which agents have no connection to the API server.
const awayTime = time.Minute

// TestRelist replaces the API server with a server that has no history of changes, so that
// clients must relist. It checks that the agents detect which objects were created or deleted
// while they had no connection.
func TestRelist(t *testing.T) {
	t.Parallel()
	s := newFixture(t, newCluster(t))
	s.apply("x/old", denyIngress)
	s.apply("y/stays", `{podSelector: {matchLabels: {pod: a}}}`)
	s.holds("*/* -> x/* denied", "*/* -> y/a denied", "*/* -> z/* allowed")
	for _, n := range s.cluster.Nodes() {
		s.must(n.Link().Cut())
	}
	s.remove("x/old")
	s.apply("z/new", denyIngress)
	s.deletePod("y/c")
	s.createPod("y/d", func(*corev1.Pod) {})
	s.must(s.cluster.WaitRunning(t.Context(), s.namespace("y")))
	guard := s.guard("z/b", "y/a")
	s.must(s.cluster.Server().Restart())
	for _, n := range s.cluster.Nodes() {
		s.must(n.Link().Restore())
	}
	s.holds("*/* -> x/* allowed", "*/* -> z/* denied", "*/* -> y/a denied", "x/a -> y/d allowed")
	guard.stop()
	for _, n := range s.cluster.Nodes() {
		for _, kind := range []string{"NetworkPolicy", "Pod"} {
			if !relisted(n.Agent().Log(), kind) {
				t.Errorf("the agent of %s continued its watch of all objects of kind %s, want a relist", n.Name(), kind)
			}
		}
	}
}

// The function `relisted` reports whether the log of an agent shows that the agent has relisted
// the objects of a kind.
func relisted(log, kind string) bool {
	for line := range strings.Lines(log) {
		if strings.Contains(line, "Relisting") && strings.Contains(line, kind) {
			return true
		}
	}
	return false
}

// TestServerStopped suspends the process of the API server without closing its connections. An
// unresponsive machine has the same effect. The test checks that policies stay enforced during
// this time, even if an agent starts. It also checks that changes after this time are enforced.
func TestServerStopped(t *testing.T) {
	t.Parallel()
	s := newFixture(t, newCluster(t))
	s.apply("x/in", `{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: "y"}}}]}]}`)
	s.holds("y/* -> x/* allowed", "z/* -> x/* denied")
	ends := s.ends()
	table, err := s.cluster.Plan(t.Context(), ends, s.targets)
	s.must(err)
	guard := s.guard("z/a", "x/a")
	s.must(s.cluster.Server().Pause())
	s.cluster.Node(0).Agent().Kill()
	s.must(s.cluster.Node(0).StartAgent())
	for range 5 {
		s.must(s.cluster.Open(t.Context(), table, ends))
		for _, difference := range table.Differences() {
			t.Error(difference)
		}
		wait(time.Second)
	}
	guard.stop()
	s.must(s.cluster.Server().Resume())
	s.apply("x/in", `{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: "z"}}}]}]}`)
	s.holds("z/* -> x/* allowed", "y/* -> x/* denied")
}

// TestNamespaceDeleted deletes a namespace with all objects in it. After that, rules in other
// namespaces that select the deleted namespace must match no pod.
func TestNamespaceDeleted(t *testing.T) {
	s := newFixture(t, theCluster)
	s.apply("x/in", `{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: "y"}}}]}]}`)
	s.apply("y/deny", denyAll)
	s.apply("y/more", `{podSelector: {matchLabels: {pod: b}}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {ns: x}}}]}]}`)
	s.holds("y/a -> x/a denied", "y/b -> x/a allowed", "z/* -> x/* denied")
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace("y")}}
	s.must(s.cluster.Client().Delete(t.Context(), namespace))
	s.must(s.cluster.WaitGone(t.Context(), namespace))
	s.holds("z/* -> x/* denied", "x/* -> z/* allowed")
	// Create a namespace with the name of the deleted namespace, but without policies.
	namespace = &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace("y"), Labels: map[string]string{"ns": "y"}}}
	s.must(s.cluster.Client().Create(t.Context(), namespace))
	s.createPod("y/a", func(*corev1.Pod) {})
	s.must(s.cluster.WaitRunning(t.Context(), namespace.Name))
	s.holds("y/a -> x/a allowed", "y/a -> z/a allowed", "z/a -> y/a allowed")
}

// TestAddressReused deletes a pod and immediately assigns its address to another pod. Verdicts
// for the new pod must not depend on the labels of the deleted pod. This also applies to
// connections that the deleted pod has left open.
func TestAddressReused(t *testing.T) {
	s := newFixture(t, theCluster)
	s.apply("x/in", `{podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{podSelector: {matchLabels: {role: friend}}}]}]}`)
	s.label("x/b", "role", "friend")
	s.holds("x/b -> x/a allowed", "x/c -> x/a denied")
	for round := range 5 {
		old := s.pod("x/b")
		friend := old.Labels["role"] == "friend"
		role, outcome := "friend", "allowed"
		if friend {
			role, outcome = "stranger", "denied"
		}
		s.must(s.cluster.Client().Delete(t.Context(), old))
		// The new pod requests the address while the old pod still uses it. When the kubelet
		// has removed the old pod, the new pod gets the address. This is often before the old
		// Pod object is deleted.
		s.createPod("x/heir", func(p *corev1.Pod) {
			p.Spec.NodeName = old.Spec.NodeName
			p.Annotations = map[string]string{labcluster.AddressAnnotation: old.Status.PodIPs[0].IP + "," + old.Status.PodIPs[1].IP}
			p.Labels["role"] = role
		})
		s.must(s.cluster.WaitGone(t.Context(), old))
		s.must(s.cluster.WaitRunning(t.Context(), s.namespace("x")))
		if got := s.pod("x/heir").Status.PodIP; got != old.Status.PodIP {
			t.Fatalf("round %d: the heir has %s, want %s", round, got, old.Status.PodIP)
		}
		s.holds("x/heir -> x/a "+outcome, "x/c -> x/a denied")
		// Create a new pod x/b with the address of x/heir for the next round.
		heir := s.pod("x/heir")
		s.must(s.cluster.Client().Delete(t.Context(), heir))
		s.createPod("x/b", func(p *corev1.Pod) {
			p.Spec.NodeName = old.Spec.NodeName
			p.Annotations = heir.Annotations
			p.Labels["role"] = role
			if round%2 == 1 {
				p.Labels["role"] = "friend"
			}
		})
		s.must(s.cluster.WaitGone(t.Context(), heir))
		s.must(s.cluster.WaitRunning(t.Context(), s.namespace("x")))
	}
}
