package liveness_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/liveness"
	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/kube"
)

var server *kube.Server

func TestMain(m *testing.M) { os.Exit(kube.Main(m, &server)) }

// timeout is the timeout of the operators in this package.
const timeout = 4 * time.Second

// operator is a running operator with only the controller under test.
type operator struct {
	stop func()
	// writes counts the requests that change a NodeEnforcer.
	writes atomic.Int64
}

func (o *operator) RoundTrip(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.Method != http.MethodGet && strings.Contains(r.URL.Path, "/nodeenforcers") {
			o.writes.Add(1)
		}
		return next.RoundTrip(r)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// start starts an operator. The operator runs until the test ends or the returned function `stop`
// is called.
func start(t *testing.T, namespace string) *operator {
	t.Helper()
	o := &operator{}
	config := server.Config()
	config.Wrap(o.RoundTrip)
	mgr, err := manager.New(config, manager.Options{
		Scheme: kube.Scheme(), Logger: logr.Discard(), Metrics: metricsserver.Options{BindAddress: "0"},
		Cache: cache.Options{ByObject: liveness.CachedObjects(namespace)},
	})
	must(t, err)
	must(t, liveness.SetupWithManager(mgr, liveness.Options{Namespace: namespace, Timeout: timeout, Log: logr.Discard()}))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	stopped := false
	o.stop = func() {
		if !stopped {
			stopped = true
			cancel()
			must(t, <-done)
		}
	}
	t.Cleanup(o.stop)
	return o
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// renewing renews a Lease once a second, until the returned function is called. The clock of
// the node is wrong by the given time.
func renewing(t *testing.T, namespace, node string, wrong time.Duration) (stop func()) {
	t.Helper()
	c := server.Client(t)
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: v1alpha1.HeartbeatLease(node)}}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(lease), lease); err != nil {
		must(t, c.Create(t.Context(), lease))
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			now := metav1.NewMicroTime(time.Now().Add(wrong))
			lease.Spec.RenewTime = &now
			if err := c.Update(context.Background(), lease); err != nil {
				done <- err
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
		done <- nil
	}()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cancel()
			must(t, <-done)
		}
	}
	t.Cleanup(stop)
	return stop
}

// wantResponding waits until the condition Responding has the given reason.
func wantResponding(t *testing.T, node string, want v1alpha1.Reason) {
	t.Helper()
	eventually.NoError(t, func() error {
		if got := responding(t, node); got == nil || got.Reason != string(want) {
			return fmt.Errorf("condition %+v, want reason %s", got, want)
		}
		return nil
	})
}

func responding(t *testing.T, node string) *metav1.Condition {
	t.Helper()
	var n v1alpha1.NodeEnforcer
	must(t, server.Client(t).Get(t.Context(), client.ObjectKey{Name: node}, &n))
	return meta.FindStatusCondition(n.Status.Conditions, string(v1alpha1.ConditionResponding))
}

// TestResponding checks the condition of an agent that becomes silent and returns, and of an
// agent whose clock is wrong by a day. The operator writes only when the condition changes.
func TestResponding(t *testing.T) {
	namespace := server.Namespace(t)
	for _, node := range []string{"a", "wrong-clock"} {
		must(t, server.Client(t).Create(t.Context(), &v1alpha1.NodeEnforcer{ObjectMeta: metav1.ObjectMeta{Name: node}}))
	}
	silence := renewing(t, namespace, "a", 0)
	renewing(t, namespace, "wrong-clock", -24*time.Hour)
	first := start(t, namespace)
	wantResponding(t, "a", v1alpha1.ReasonAgentResponding)
	wantResponding(t, "wrong-clock", v1alpha1.ReasonAgentResponding)
	silence()
	stopped := time.Now()
	wantResponding(t, "a", v1alpha1.ReasonAgentSilent)
	if after := time.Since(stopped); after < timeout-time.Second {
		t.Errorf("silent after %v, want at least %v", after, timeout)
	}
	if n := first.writes.Load(); n != 3 {
		t.Errorf("%d writes, want 3", n)
	}

	// A new operator does not have the time of the last renewal.
	first.stop()
	second := start(t, namespace)
	<-time.After(2 * timeout)
	wantResponding(t, "a", v1alpha1.ReasonAgentSilent)
	wantResponding(t, "wrong-clock", v1alpha1.ReasonAgentResponding)
	if n := second.writes.Load(); n != 0 {
		t.Errorf("%d writes of an operator that started while nothing changed", n)
	}
	renewing(t, namespace, "a", 0)
	wantResponding(t, "a", v1alpha1.ReasonAgentResponding)

	// If another client overwrites the condition, the operator restores it.
	var n v1alpha1.NodeEnforcer
	c := server.Client(t)
	must(t, c.Get(t.Context(), client.ObjectKey{Name: "a"}, &n))
	n.Status.Conditions = nil
	must(t, c.Status().Update(t.Context(), &n))
	wantResponding(t, "a", v1alpha1.ReasonAgentResponding)
}

// TestNodeWithoutLease checks that an agent that never renews a Lease becomes silent.
func TestNodeWithoutLease(t *testing.T) {
	namespace := server.Namespace(t)
	must(t, server.Client(t).Create(t.Context(), &v1alpha1.NodeEnforcer{ObjectMeta: metav1.ObjectMeta{Name: "no-lease"}}))
	start(t, namespace)
	wantResponding(t, "no-lease", v1alpha1.ReasonAgentSilent)
}
