package node_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"testing"

	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/config/rbac"
	"github.com/sluicenet/sluice/controllers/node"
	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/tree"
	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/kube"
)

var server *kube.Server

func TestMain(m *testing.M) { os.Exit(kube.Main(m, &server)) }

// agent is a running agent.
type agent struct {
	node     string
	stateDir string
	health   string
	registry *prometheus.Registry
	stop     func()
}

// start starts an agent and returns when its health server is running. The agent runs until the
// test ends or the function `stop` is called.
func start(t *testing.T, config *rest.Config, name, stateDir string) *agent {
	t.Helper()
	a := &agent{node: name, stateDir: stateDir, health: kube.FreeAddress(t), registry: prometheus.NewRegistry()}
	log := funcr.New(func(prefix, args string) {
		if testing.Verbose() {
			fmt.Fprintln(os.Stderr, prefix, args)
		}
	}, funcr.Options{})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- node.Run(ctx, config, node.Options{
			Node: name, Namespace: rbac.Namespace, StateDir: stateDir, MetricsAddress: "0", HealthAddress: a.health, Log: log, Registry: a.registry,
		})
	}()
	stopped := false
	a.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("agent: %v", err)
		}
	}
	t.Cleanup(a.stop)
	eventually.NoError(t, func() error {
		response, err := http.Get("http://" + a.health + "/healthz")
		if err != nil {
			return err
		}
		return response.Body.Close()
	})
	return a
}

// ready returns the result of one readiness check.
func (a *agent) ready(check string) error {
	response, err := http.Get("http://" + a.health + "/readyz/" + check)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, err := io.ReadAll(response.Body)
		return fmt.Errorf("%s: %s %w", response.Status, text, err)
	}
	return nil
}

// metric returns the value of a counter or gauge, or the number of samples of a histogram. The
// `label` parameter is the value of the metric's first label, or "" for a metric without labels.
func (a *agent) metric(t *testing.T, name, label string) float64 {
	t.Helper()
	value, ok := a.findMetric(t, name, label)
	if !ok {
		t.Fatalf("no metric %s %s", name, label)
	}
	return value
}

// hasMetric reports whether a metric exists.
func (a *agent) hasMetric(t *testing.T, name, label string) bool {
	t.Helper()
	_, ok := a.findMetric(t, name, label)
	return ok
}

func (a *agent) findMetric(t *testing.T, name, label string) (value float64, ok bool) {
	t.Helper()
	families, err := a.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if label != "" && m.GetLabel()[0].GetValue() != label {
				continue
			}
			return m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount()), true
		}
	}
	return 0, false
}

// tree opens the published tree.
func (a *agent) tree() (*tree.Tree, error) {
	return tree.Open(statedir.Current(a.stateDir))
}

// generation returns the generation of the published tree.
func (a *agent) generation(t *testing.T) uint64 {
	t.Helper()
	published, err := a.tree()
	if err != nil {
		t.Fatal(err)
	}
	defer published.Close()
	return published.Generation()
}

// wantVerdict waits until the published tree has the wanted verdict for a TCP flow to port 80.
func (a *agent) wantVerdict(t *testing.T, src, dst string, want rule.Verdict) {
	t.Helper()
	eventually.NoError(t, func() error {
		published, err := a.tree()
		if err != nil {
			return err
		}
		defer published.Close()
		got := evaluate(published, src, dst).Verdict()
		if got != want {
			return fmt.Errorf("generation %d: %s -> %s is %v, want %v", published.Generation(), src, dst, got, want)
		}
		return nil
	})
}

// evaluate evaluates a TCP flow to port 80.
func evaluate(in *tree.Tree, src, dst string) rule.Decision {
	return in.Evaluate(flow.Flow{
		Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst), Protocol: flow.TCP, SrcPort: 40000, DstPort: 80,
	})
}

// cluster creates the objects of one test, in a namespace that only this test uses.
type cluster struct {
	client.WithWatch
	namespace string
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{WithWatch: server.Client(t), namespace: server.Namespace(t)}
	// The agents renew their Leases in this namespace.
	err := c.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: rbac.Namespace}})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	// Delete the pods, because agents of later tests would see them. A later pod with the same
	// address might then not own the address.
	t.Cleanup(func() {
		if err := c.DeleteAllOf(context.Background(), &corev1.Pod{}, client.InNamespace(c.namespace), now); err != nil {
			t.Errorf("deleting the pods of the test: %v", err)
		}
	})
	return c
}

// pod creates a running pod.
func (c *cluster) pod(t *testing.T, name, nodeName, address string) *corev1.Pod {
	t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: name, Labels: map[string]string{"app": name}},
		Spec: corev1.PodSpec{NodeName: nodeName, Containers: []corev1.Container{{
			Name: "main", Image: "main", Ports: []corev1.ContainerPort{{Name: "main", ContainerPort: 8080}},
		}}},
	}
	c.must(t, c.Create(t.Context(), pod))
	pod.Status.Phase = corev1.PodRunning
	pod.Status.PodIP = address
	pod.Status.PodIPs = []corev1.PodIP{{IP: address}}
	c.must(t, c.Status().Update(t.Context(), pod))
	return pod
}

// policyFor creates a policy that selects the pods of one app and has the given ingress
// rules.
func (c *cluster) policyFor(t *testing.T, app string, rules ...networkingv1.NetworkPolicyIngressRule) *networkingv1.NetworkPolicy {
	t.Helper()
	np := &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: app},
		Spec:       networkingv1.NetworkPolicySpec{PodSelector: appIs(app), Ingress: rules},
	}
	c.must(t, c.Create(t.Context(), np))
	return np
}

func (*cluster) must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func appIs(app string) metav1.LabelSelector {
	return metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}
}

// The function `from` returns an ingress rule that allows connections from the pods of one app.
func from(app string) networkingv1.NetworkPolicyIngressRule {
	selector := appIs(app)
	return networkingv1.NetworkPolicyIngressRule{From: []networkingv1.NetworkPolicyPeer{{PodSelector: &selector}}}
}

// fromNamespaces returns an ingress rule that allows connections from all pods in the
// namespaces with the given label.
func fromNamespaces(key, value string) networkingv1.NetworkPolicyIngressRule {
	selector := metav1.LabelSelector{MatchLabels: map[string]string{key: value}}
	return networkingv1.NetworkPolicyIngressRule{From: []networkingv1.NetworkPolicyPeer{{NamespaceSelector: &selector}}}
}

// The `now` variable is an option that deletes a pod at once. Without this option, the API server
// waits for a kubelet before it deletes the pod.
var now = client.GracePeriodSeconds(0)
