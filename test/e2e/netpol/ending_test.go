package netpol_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/lab"
)

// sealed isolates the pods with the label role=sealed in both directions. These pods may
// connect only to pod b of their own namespace, and no pod may connect to them.
const sealed = `{podSelector: {matchLabels: {role: sealed}}, policyTypes: [Ingress, Egress], egress: [{to: [{podSelector: {matchLabels: {pod: b}}}]}]}`

// TestIsolatedUntilTheSandboxEnds deletes isolated pods in different ways while their
// containers keep running. Policies must apply to a pod until its last sandbox ends (S56a). So
// the test checks that no denied connection is opened in either direction, and that allowed
// connections work, until the containers have ended.
func TestIsolatedUntilTheSandboxEnds(t *testing.T) {
	s := newFixture(t, theCluster, tcp80)
	s.cluster.SetCommand("last", func(ctx context.Context, _ *lab.Host, _ []string) error { <-ctx.Done(); return nil })
	force := func(pod *corev1.Pod) {
		s.must(s.cluster.Client().Delete(t.Context(), pod, client.GracePeriodSeconds(0)))
	}
	for name, tt := range map[string]struct {
		path string
		end  func(*corev1.Pod)
		// least is the minimum time for which the containers of the pod must keep running.
		least time.Duration
	}{
		"deleted by force": {"x/forced", force, 900 * time.Millisecond},
		"deleted, then deleted by force": {"x/ending", func(pod *corev1.Pod) {
			s.must(s.cluster.Client().Delete(t.Context(), pod))
			wait(500 * time.Millisecond)
			force(pod)
			wait(500 * time.Millisecond)
			// The pod must also remain isolated if connection tracking loses its entries.
			s.must(s.cluster.Node(0).Host().FlushConnections())
		}, 2 * time.Second},
		"replaced by a pod with the same name": {"x/replaced", func(pod *corev1.Pod) {
			force(pod)
			s.createPod("x/replaced", func(p *corev1.Pod) { p.Spec.NodeName = s.cluster.Node(1).Name() })
		}, 900 * time.Millisecond},
		"terminating": {"x/terminating", func(pod *corev1.Pod) {
			s.must(s.cluster.Client().Delete(t.Context(), pod))
		}, 2 * time.Second},
		// The lab's namespace controller deletes the policies and the pods of a namespace at
		// the same time.
		"in a namespace that is deleted": {"y/last", func(pod *corev1.Pod) {
			s.must(s.cluster.Client().Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: pod.Namespace}}))
			wait(time.Second)
			force(pod)
		}, 2 * time.Second},
	} {
		s.apply(tt.path[:1]+"/sealed", sealed)
		s.createPod(tt.path, func(p *corev1.Pod) {
			grace := int64(3)
			p.Spec.NodeName = s.cluster.Node(0).Name()
			p.Labels["role"] = "sealed"
			p.Spec.TerminationGracePeriodSeconds = &grace
			p.Spec.Containers[0].Command = []string{"last"}
			// With this hook, the servers of the container keep running, because they run
			// until the preStop hook has ended.
			p.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"last"}}}}
		})
		s.must(s.cluster.WaitRunning(t.Context(), s.key(tt.path).Namespace))
		s.must(s.cluster.WaitEnforced(t.Context()))
		pod, end := s.pod(tt.path), s.end(tt.path)
		guards := []*guard{s.guard(tt.path, "z/a"), s.guard("z/a", tt.path), s.guard("z/b", tt.path)}
		var before []uint64
		for _, g := range guards {
			before = append(before, g.tried.Load())
		}
		began := time.Now()
		tt.end(pod)
		if tt.path[0] == 'x' {
			for _, family := range []string{"4", "6"} {
				to := netip.AddrPortFrom(s.address("x/b", family), 80)
				if got, err := end.Host.Probe(t.Context(), flow.TCP, netip.Addr{}, to, replyTime); err != nil || got != lab.Connected {
					t.Errorf("%s: an allowed connection over IPv%s: %s, error %v", name, family, got, err)
				}
			}
		}
		eventually.True(t, "the pod has ended", func() bool { return end.Host.Do(func() error { return nil }) != nil })
		took := time.Since(began)
		for i, g := range guards {
			tried := g.tried.Load() - before[i]
			t.Logf("%s: guard %d tried %d connections in %s", name, i, tried, took)
			if took < tt.least || tried < 10 {
				t.Errorf("%s: the pod ran for %s, and guard %d tried %d connections; want at least %s and 10", name, took, i, tried, tt.least)
			}
			g.stop()
		}
	}
}
