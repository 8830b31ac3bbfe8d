package node_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/test/eventually"
)

// TestWrites counts the requests with which agents write Leases and NodeEnforcers. Each agent
// may write at most 0.1 Leases per second. The agents must not write NodeEnforcers in these
// cases:
//
//   - No object changes.
//   - Only the annotations of a policy change.
//   - A policy that selects no pod of the agent's node changes.
//   - Changes of remote pods cause 20 new trees per second.
func TestWrites(t *testing.T) {
	const nodes = 3
	c := newCluster(t)
	var leases, reports atomic.Int64
	config := server.Config()
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			switch {
			case r.Method == http.MethodGet:
			case strings.Contains(r.URL.Path, "/leases"):
				leases.Add(1)
			case strings.Contains(r.URL.Path, "/nodeenforcers"):
				reports.Add(1)
			}
			return next.RoundTrip(r)
		})
	})
	db, other := c.policyFor(t, "db", from("web")), c.policyFor(t, "other")
	web := c.pod(t, "web", "remote", "10.11.9.1")
	for i := range nodes {
		name := fmt.Sprintf("writes-%d", i)
		c.must(t, c.Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}))
		pod := c.pod(t, name, name, fmt.Sprintf("10.11.0.%d", i+1))
		pod.Labels["app"] = "db"
		c.must(t, c.Update(t.Context(), pod))
		a := start(t, config, name, t.TempDir())
		a.acknowledge(t, c)
		a.wantStatus(t, c, func(s *v1alpha1.NodeEnforcerStatus) error {
			if len(s.Enforced) == 0 {
				return fmt.Errorf("nothing is enforced yet")
			}
			return conditionIs(s, v1alpha1.ConditionReady, v1alpha1.ReasonEnforcing)
		})
	}
	// The last changes are written at most 12 s after the first ones.
	quiet := time.Now()
	last := reports.Load()
	eventually.NoError(t, func() error {
		if now := reports.Load(); now != last {
			last, quiet = now, time.Now()
		}
		if time.Since(quiet) < 13*time.Second {
			return fmt.Errorf("%d writes, the last one %v ago", last, time.Since(quiet))
		}
		return nil
	})

	for _, phase := range []struct {
		name   string
		every  time.Duration
		change func(i int)
	}{
		{"rest", time.Second, func(int) {}},
		{"annotations of the policy", time.Second, func(i int) {
			db.Annotations = map[string]string{"touched": fmt.Sprint(i)}
			c.must(t, c.Update(t.Context(), db))
		}},
		{"a policy that selects no local pod", time.Second, func(i int) {
			other.Spec.PodSelector = appIs(fmt.Sprint("other-", i))
			c.must(t, c.Update(t.Context(), other))
		}},
		{"remote pods", 50 * time.Millisecond, func(i int) {
			web.Status.PodIP = fmt.Sprintf("10.11.9.%d", i%250+1)
			web.Status.PodIPs = []corev1.PodIP{{IP: web.Status.PodIP}}
			c.must(t, c.Status().Update(t.Context(), web))
		}},
	} {
		const duration = 15 * time.Second
		renewed, written := leases.Load(), reports.Load()
		tick := time.NewTicker(phase.every)
		for i, began := 0, time.Now(); time.Since(began) < duration; i++ {
			<-tick.C
			phase.change(i)
		}
		tick.Stop()
		renewed, written = leases.Load()-renewed, reports.Load()-written
		t.Logf("%s: %d writes of NodeEnforcers and %d of Leases by %d nodes in %v", phase.name, written, renewed, nodes, duration)
		// Each node renews its Lease once or twice in 15 s.
		if written != 0 || renewed > 2*nodes {
			t.Errorf("%s: %d writes of NodeEnforcers and %d of Leases, want 0 and at most %d", phase.name, written, renewed, 2*nodes)
		}
	}
}
