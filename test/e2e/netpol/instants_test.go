package netpol_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/lab"
	"github.com/sluicenet/sluice/test/labcluster"
)

const (
	// headStart is the time from the CNI result of a pod until its first container starts. It
	// is longer than on a real node, because tests of other packages can run on the same
	// machine at the same time.
	headStart = 2 * time.Second
	// addressDelay is the time from the start of a new pod until the pod's addresses are written to
	// the API server.
	addressDelay = 3 * time.Second
	// attemptTime is the maximum time for one connection attempt.
	attemptTime = 3 * time.Second
	// attemptPause is the time between two attempts.
	attemptPause = 20 * time.Millisecond
)

// The type `instants` records all attempts of pods to open connections, beginning with the first
// instruction of each pod.
type instants struct {
	*fixture
	command string

	mu       sync.Mutex
	attempts map[string][]instant
	// `ended` contains the name of each pod whose command has ended. For each of these pods,
	// `published` is true if the API server had the addresses of the pod when the command ended.
	ended, published map[string]bool
}

// instant is one attempt to open a connection.
type instant struct {
	to     string
	result lab.Result
	at     time.Duration // time from the first instruction of the pod until this attempt
	took   time.Duration
}

// newInstants defines the command with which pods open connections. The arguments of the
// command are the name of the pod, the duration, and the targets, such as tcp/10.0.0.1:80.
func newInstants(s *fixture) *instants {
	i := &instants{fixture: s, command: s.Name(), attempts: map[string][]instant{}, ended: map[string]bool{}, published: map[string]bool{}}
	s.cluster.SetCommand(i.command, func(ctx context.Context, host *lab.Host, words []string) error {
		pod, began := words[0], time.Now()
		period, err := time.ParseDuration(words[1])
		if err != nil {
			return err
		}
		var connecting sync.WaitGroup
		for _, to := range words[2:] {
			connecting.Go(func() { i.connect(ctx, host, pod, to, began, period) })
		}
		connecting.Wait()
		var object corev1.Pod
		err = client.IgnoreNotFound(s.cluster.Client().Get(ctx, s.key("y/"+pod), &object))
		if err != nil {
			return err
		}
		i.mu.Lock()
		defer i.mu.Unlock()
		i.ended[pod], i.published[pod] = true, len(object.Status.PodIPs) > 0
		return nil
	})
	return i
}

// connect repeatedly connects to a target until the period is over.
func (i *instants) connect(ctx context.Context, host *lab.Host, pod, to string, began time.Time, period time.Duration) {
	name, address, _ := strings.Cut(to, "/")
	protocol, err := flow.ParseProtocol(strings.ToUpper(name))
	for err == nil && ctx.Err() == nil {
		start := time.Now()
		var result lab.Result
		if result, err = host.Probe(ctx, protocol, netip.Addr{}, netip.MustParseAddrPort(address), attemptTime); err != nil {
			break
		}
		i.mu.Lock()
		i.attempts[pod] = append(i.attempts[pod], instant{to, result, start.Sub(began), time.Since(start)})
		i.mu.Unlock()
		if time.Since(began) > period {
			return
		}
		wait(attemptPause)
	}
	if err != nil && ctx.Err() == nil {
		i.Errorf("%s to %s: %v", pod, to, err)
	}
}

// targets returns a TCP target and a UDP target for each address of a pod. The `end` parameter is
// the name of the pod. The port of each target is 80.
func (i *instants) targets(end string) (out []string) {
	for _, a := range i.end(end).Addresses {
		for _, protocol := range []string{"tcp", "udp"} {
			out = append(out, fmt.Sprintf("%s/%s", protocol, netip.AddrPortFrom(a, 80)))
		}
	}
	return out
}

// newborn changes a Pod so that its only container connects to the targets for a period of
// time.
func (i *instants) newborn(p *corev1.Pod, kind string, period time.Duration, targets []string) {
	p.Labels["kind"] = kind
	p.Annotations = map[string]string{
		labcluster.StartDelayAnnotation: headStart.String(), labcluster.StatusDelayAnnotation: addressDelay.String(),
	}
	main := &p.Spec.Containers[0]
	main.Command, main.Ports = append([]string{i.command, p.Name, period.String()}, targets...), nil
}

// waitEnded waits until the commands of the given pods have ended.
func (i *instants) waitEnded(pods ...string) {
	i.Helper()
	eventually.NoError(i.T, func() error {
		i.mu.Lock()
		defer i.mu.Unlock()
		for _, pod := range pods {
			if !i.ended[pod] {
				return fmt.Errorf("pod %s has not ended", pod)
			}
		}
		return nil
	})
}

// check checks all attempts of a pod to connect to the given targets. If the `allowed` parameter
// is true, every attempt must succeed. If it is false, every attempt must fail.
func (i *instants) check(pod string, targets []string, allowed bool) (first time.Duration) {
	i.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, to := range targets {
		var made, connected int
		for _, a := range i.attempts[pod] {
			if a.to != to {
				continue
			}
			if made == 0 {
				first = max(first, a.took)
			}
			made++
			if a.result == lab.Connected {
				connected++
			}
			if (a.result == lab.Connected) != allowed {
				i.Errorf("%s to %s, %v after the start: %s, want allowed %v", pod, to, a.at, a.result, allowed)
				break
			}
		}
		if made == 0 {
			i.Errorf("%s made no attempt to connect to %s", pod, to)
		}
	}
	return first
}

// applyInstants creates the policies of the tests. For each kind of pod in namespace y, the
// policies define whether the pods may connect to x/a and to x/b.
func (i *instants) applyInstants() {
	i.Helper()
	i.fixture.apply("y/denied", `{podSelector: {matchLabels: {kind: denied}}, policyTypes: [Egress]}`)
	i.fixture.apply("y/allowed", `{podSelector: {matchLabels: {kind: allowed}}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: $x}}}]}]}`)
	i.fixture.apply("x/closed", `{podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: $y}}, podSelector: {matchExpressions: [{key: kind, operator: In, values: [peer, allowed]}]}}]}]}`)
	i.must(i.cluster.WaitEnforced(i.Context()))
}

// expected contains, for each kind of pod, whether the pods may connect to x/a and to x/b. A
// policy isolates x/a and allows some pods by their labels. No policy isolates x/b.
var expected = map[string]struct{ a, b bool }{
	"denied": {false, false}, "allowed": {true, true}, "peer": {true, true}, "stranger": {false, true},
}

// TestFirstInstant checks that policies apply to a pod from its first instruction on (S54). At
// this time, the API server does not have the addresses of the pod yet. The policies must also
// apply while a postStart hook runs for 5 s. Pod x/a is on the same node as the new pods, and x/b
// is on another node.
func TestFirstInstant(t *testing.T) {
	s := newFixture(t, theCluster, tcp80)
	i := newInstants(s)
	i.applyInstants()
	near, far := i.targets("x/a"), i.targets("x/b")
	node := s.pod("x/a").Spec.NodeName
	var pods []string
	for kind := range expected {
		for _, when := range []string{"main", "init", "hook"} {
			name := kind + "-" + when
			pods = append(pods, name)
			s.createPod("y/"+name, func(p *corev1.Pod) {
				p.Spec.NodeName = node
				period := time.Second
				if when == "hook" {
					period = 5 * time.Second
				}
				i.newborn(p, kind, period, slices.Concat(near, far))
				main := &p.Spec.Containers[0]
				switch command := main.Command; when {
				case "init":
					p.Spec.InitContainers = []corev1.Container{{Name: "init", Image: "lab", Command: command}}
					main.Command = nil
				case "hook":
					main.Lifecycle = &corev1.Lifecycle{PostStart: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: command}}}
					main.Command = nil
				}
			})
		}
	}
	i.waitEnded(pods...)
	for _, name := range pods {
		if i.published[name] {
			t.Errorf("the API server had the addresses of %s too early for this test", name)
		}
		kind, _, _ := strings.Cut(name, "-")
		first := max(i.check(name, near, expected[kind].a), i.check(name, far, expected[kind].b))
		if expected[kind].a {
			t.Logf("%s: first connections open after %v at worst", name, first)
		}
	}
}

// TestManyFirstInstants starts 200 pods at the same time.
func TestManyFirstInstants(t *testing.T) {
	s := newFixture(t, theCluster, tcp80)
	i := newInstants(s)
	i.applyInstants()
	targets := i.targets("x/a")[:1]
	node := s.pod("x/a").Spec.NodeName
	var pods []string
	for n := range 200 {
		kind := []string{"denied", "allowed", "peer", "stranger"}[n%4]
		name := fmt.Sprintf("%s-%d", kind, n)
		pods = append(pods, name)
		s.createPod("y/"+name, func(p *corev1.Pod) {
			p.Spec.NodeName = node
			i.newborn(p, kind, time.Second, targets)
		})
	}
	i.waitEnded(pods...)
	var worst time.Duration
	for _, name := range pods {
		kind, _, _ := strings.Cut(name, "-")
		if first := i.check(name, targets, expected[kind].a); expected[kind].a {
			worst = max(worst, first)
		}
	}
	t.Logf("first connections open after %v at worst", worst)
}

// TestFirstInstantWithAReusedAddress immediately assigns the addresses of a deleted pod to a new
// pod. Verdicts must depend on the labels of the new pod, and not on the labels of the old pod
// (S53).
func TestFirstInstantWithAReusedAddress(t *testing.T) {
	s := newFixture(t, theCluster, tcp80)
	i := newInstants(s)
	i.applyInstants()
	targets := i.targets("x/a")
	for _, kinds := range [][2]string{{"allowed", "denied"}, {"denied", "allowed"}} {
		before, after := kinds[0]+"-before", kinds[1]+"-after"
		s.createPod("y/"+before, func(p *corev1.Pod) {
			p.Spec.NodeName = s.pod("x/a").Spec.NodeName
			p.Labels["kind"] = kinds[0]
		})
		s.must(s.cluster.WaitRunning(t.Context(), s.namespace("y")))
		s.must(s.cluster.WaitEnforced(t.Context()))
		old := s.pod("y/" + before)
		addresses := s.end("y/" + before).Addresses
		// The kubelet starts the new pod within a few milliseconds after the old pod has
		// released its addresses.
		s.createPod("y/"+after, func(p *corev1.Pod) {
			p.Spec.NodeName = old.Spec.NodeName
			i.newborn(p, kinds[1], time.Second, targets)
			p.Annotations[labcluster.AddressAnnotation] = addresses[0].String() + "," + addresses[1].String()
		})
		s.must(s.cluster.Client().Delete(t.Context(), old))
		i.waitEnded(after)
		i.check(after, targets, expected[kinds[1]].a)
		s.deletePod("y/" + after)
	}
}

// TestLastInstant deletes an isolated pod, and then deletes the Pod object by force during the
// grace period. The containers continue to run. Until they end, policies must isolate the pod
// in both directions (S56a).
func TestLastInstant(t *testing.T) {
	const grace = 8
	s := newFixture(t, theCluster, tcp80)
	i := newInstants(s)
	i.applyInstants()
	targets := i.targets("x/b")
	s.apply("y/sealed", `{podSelector: {matchLabels: {kind: denied}}, policyTypes: [Ingress]}`)
	s.createPod("y/denied", func(p *corev1.Pod) {
		seconds := int64(grace)
		p.Spec.NodeName, p.Labels["kind"] = s.pod("x/a").Spec.NodeName, "denied"
		p.Spec.TerminationGracePeriodSeconds = &seconds
		// A server accepts connections while the preStop hook runs.
		p.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{
			Exec: &corev1.ExecAction{Command: append([]string{i.command, "denied", (grace * time.Second).String()}, targets...)},
		}}
	})
	s.must(s.cluster.WaitRunning(t.Context(), s.namespace("y")))
	s.must(s.cluster.WaitEnforced(t.Context()))
	pod, end := s.pod("y/denied"), s.end("y/denied")
	client80 := s.end("x/b").Host
	s.must(s.cluster.Client().Delete(t.Context(), pod))
	s.must(s.cluster.Client().Delete(t.Context(), pod, client.GracePeriodSeconds(0)))
	into := 0
	for began := time.Now(); time.Since(began) < (grace-3)*time.Second; into++ {
		for _, a := range end.Addresses {
			got, err := client80.Probe(t.Context(), flow.TCP, netip.Addr{}, netip.AddrPortFrom(a, 80), attemptTime)
			if err != nil || got == lab.Connected {
				t.Fatalf("%v after the deletion by force, a connection to the pod: %s, %v", time.Since(began), got, err)
			}
		}
		wait(attemptPause)
	}
	i.check("denied", targets, false)
	i.mu.Lock()
	defer i.mu.Unlock()
	t.Logf("%d rounds of connections to the pod, %d connections from the pod", into, len(i.attempts["denied"]))
	if last := i.attempts["denied"][len(i.attempts["denied"])-1]; last.at < (grace-4)*time.Second {
		t.Errorf("the last attempt of the pod was after %v, want attempts until the end of the grace period", last.at)
	}
}
