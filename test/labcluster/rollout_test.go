package labcluster_test

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/test/lab"
	"github.com/sluicenet/sluice/test/labcluster"
)

// TestRollout replaces the pod of a node while the test opens connections. With every strategy, no
// denied connection may succeed. With strategy Surge, all allowed connections must also succeed in
// less than a second. A client that retransmitted a SYN would take longer.
func TestRollout(t *testing.T) {
	ctx := t.Context()
	c, err := labcluster.New(ctx, labcluster.Options{Program: sluice, Nodes: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, name := range []string{"a", "b"} {
		if err := c.Client().Create(ctx, newPod(name)); err != nil {
			t.Fatal(err)
		}
	}
	port := intstr.FromInt32(80)
	allow := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "allow"}}
	allow.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{Ports: []networkingv1.NetworkPolicyPort{{Port: &port}}}}
	if err := c.Client().Create(ctx, allow); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.WaitRunning(ctx, "default"), c.WaitEnforced(ctx)); err != nil {
		t.Fatal(err)
	}
	for _, strategy := range []v1alpha1.UpdateStrategyType{v1alpha1.UpdateSurge, v1alpha1.UpdateInPlace, v1alpha1.UpdateSurge} {
		t.Run(string(strategy), func(t *testing.T) {
			end := visitAllTheTime(t, c)
			begin := time.Now()
			if err := c.Node(0).Rollout(ctx, strategy); err != nil {
				t.Fatal(err)
			}
			took := time.Since(begin)
			if err := c.WaitEnforced(ctx); err != nil {
				t.Fatal(err)
			}
			opened, slowest := end()
			t.Logf("rollout took %s; %d connections, the slowest %s", took, opened, slowest)
			if opened == 0 || strategy == v1alpha1.UpdateSurge && slowest >= time.Second {
				t.Errorf("the slowest of %d connections took %s, want less than a second", opened, slowest)
			}
		})
	}
}

// visitAllTheTime repeatedly opens connections from pod a to ports 80 and 81 of pod b. Policies
// allow only port 80. The returned function `end` stops this. It returns the number of connections
// to port 80, and the time that the slowest of these connections took.
func visitAllTheTime(t *testing.T, c *labcluster.Cluster) (end func() (opened int, slowest time.Duration)) {
	t.Helper()
	from, err := c.End("default", "a")
	if err != nil {
		t.Fatal(err)
	}
	to, err := c.End("default", "b")
	if err != nil {
		t.Fatal(err)
	}
	refused, err := to.Host.Serve(flow.TCP, netip.AddrPortFrom(to.Addresses[0], 81))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	opened, slowest := 0, time.Duration(0)
	running.Go(func() {
		for ctx.Err() == nil {
			begin := time.Now()
			got, err := from.Host.Probe(t.Context(), flow.TCP, netip.Addr{}, netip.AddrPortFrom(to.Addresses[0], 80), timeout)
			if err != nil || got != lab.Connected {
				t.Errorf("an allowed connection: %s, %v", got, err)
			}
			opened, slowest = opened+1, max(slowest, time.Since(begin))
		}
	})
	running.Go(func() {
		for ctx.Err() == nil {
			_, _ = from.Host.Probe(ctx, flow.TCP, netip.Addr{}, netip.AddrPortFrom(to.Addresses[0], 81), 100*time.Millisecond)
		}
	})
	return func() (int, time.Duration) {
		cancel()
		running.Wait()
		if n := refused.Served(); n > 0 {
			t.Errorf("%d denied connections succeeded", n)
		}
		refused.Close()
		return opened, slowest
	}
}
