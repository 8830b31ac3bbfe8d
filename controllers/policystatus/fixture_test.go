package policystatus_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/go-logr/logr/funcr"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/digest"
	"github.com/sluicenet/sluice/controllers/policystatus"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/read"
	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/kube"
	"github.com/sluicenet/sluice/test/policyapi"
)

// writer is a running reconciler that writes PolicyStatuses.
type writer struct {
	// writes counts the requests that changed a PolicyStatus, a ClusterPolicyStatus or a
	// ClusterNetworkPolicy.
	writes atomic.Int64
	// accepted contains the content types that the client accepts, by the last part of the path
	// of each read request.
	accepted sync.Map
	stop     func()
}

// startWriter runs the reconciler until the test ends or the function `stop` is called.
func startWriter(t *testing.T) *writer {
	t.Helper()
	w := &writer{}
	log := funcr.New(func(prefix, args string) {
		if testing.Verbose() {
			fmt.Fprintln(os.Stderr, prefix, args)
		}
	}, funcr.Options{})
	config := server.Config()
	config.QPS = -1
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return counter{next, w} })
	mgr, err := manager.New(config, manager.Options{
		Scheme: kube.Scheme(), Logger: log, Metrics: metricsserver.Options{BindAddress: "0"},
		Cache: cache.Options{ByObject: policystatus.CachedObjects()},
	})
	must(t, err)
	must(t, policystatus.SetupWithManager(mgr, func(context.Context) (bool, error) { return true, nil }, log))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	stopped := false
	w.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("operator: %v", err)
		}
	}
	t.Cleanup(w.stop)
	return w
}

// counter is a transport that observes the requests of a writer.
type counter struct {
	http.RoundTripper
	writer *writer
}

func (c counter) RoundTrip(r *http.Request) (*http.Response, error) {
	switch {
	case r.Method == http.MethodGet:
		c.writer.accepted.Store(path.Base(r.URL.Path), r.Header.Get("Accept"))
	case strings.Contains(r.URL.Path, "policystatuses"), strings.Contains(r.URL.Path, "/clusternetworkpolicies"):
		c.writer.writes.Add(1)
	}
	return c.RoundTripper.RoundTrip(r)
}

// fixture is a namespace that contains the objects of one test.
type fixture struct {
	client.WithWatch
	namespace string
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	return &fixture{WithWatch: server.Client(t), namespace: server.Namespace(t)}
}

// createPod creates a pod whose label `app` has the given value. If the `address` parameter is
// empty, the pod does not run yet.
func (f *fixture) createPod(t *testing.T, app, node, address string) *corev1.Pod {
	t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, GenerateName: app + "-", Labels: map[string]string{"app": app}},
		Spec:       corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "main", Image: "main"}}},
	}
	must(t, f.Create(t.Context(), pod))
	if address != "" {
		pod.Status.Phase, pod.Status.PodIP, pod.Status.PodIPs = corev1.PodRunning, address, []corev1.PodIP{{IP: address}}
		must(t, f.Status().Update(t.Context(), pod))
	}
	return pod
}

// createPolicy creates a policy that selects the pods of one app.
func (f *fixture) createPolicy(t *testing.T, name, app string) *networkingv1.NetworkPolicy {
	t.Helper()
	np := &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: name},
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app": app}},
			Ingress: []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{{
				PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}},
			}}}},
		},
	}
	must(t, f.Create(t.Context(), np))
	return np
}

// node is a node without an agent. The test itself writes the NodeEnforcer of the node.
type node struct {
	*fixture
	name       string
	generation int64
}

func (f *fixture) createNode(t *testing.T, name string) *node {
	t.Helper()
	object := &v1alpha1.NodeEnforcer{ObjectMeta: metav1.ObjectMeta{Name: name}}
	must(t, f.Create(t.Context(), object))
	t.Cleanup(func() {
		must(t, client.IgnoreNotFound(f.Delete(context.WithoutCancel(t.Context()), object)))
	})
	return &node{fixture: f, name: name}
}

// acknowledge writes a status in which the node enforces the current version of all
// objects.
func (n *node) acknowledge(t *testing.T) {
	t.Helper()
	n.generation++
	enforced := n.enforced(t)
	n.write(t, func(s *v1alpha1.NodeEnforcerStatus) {
		s.Acknowledged = &v1alpha1.Generation{Number: n.generation, Time: metav1.NowMicro()}
		s.Enforced = enforced
		meta.SetStatusCondition(&s.Conditions, v1alpha1.NewCondition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonEnforcing, "enforcing"))
	})
}

// enforced returns the digests that an agent reports if the node enforces the current version of
// all objects.
func (n *node) enforced(t *testing.T) []byte {
	t.Helper()
	var policies networkingv1.NetworkPolicyList
	must(t, n.List(t.Context(), &policies))
	var pods corev1.PodList
	must(t, n.List(t.Context(), &pods))
	var out []digest.Digest
	for i := range policies.Items {
		p, _ := read.NetworkPolicy(&policies.Items[i])
		var selected []*policy.Pod
		for i := range pods.Items {
			if pod, _ := policy.ReadPod(&pods.Items[i]); pod.Node == n.name && p.Selects(pod, nil) {
				selected = append(selected, pod)
			}
		}
		out = append(out, digest.Of(p, selected))
	}
	return digest.Join(append(out, n.enforcedClusterPolicies(t, pods.Items)...))
}

// enforcedClusterPolicies returns the digests of all ClusterNetworkPolicies, if the API server serves
// them.
func (n *node) enforcedClusterPolicies(t *testing.T, pods []corev1.Pod) (out []digest.Digest) {
	t.Helper()
	var namespaces corev1.NamespaceList
	must(t, n.List(t.Context(), &namespaces))
	objects := map[string]policy.Namespace{}
	for i := range namespaces.Items {
		objects[namespaces.Items[i].Name] = policy.ReadNamespace(&namespaces.Items[i])
	}
	for _, object := range policyapi.List(t, n) {
		p, _ := read.ClusterNetworkPolicy(&object)
		var selected []*policy.Pod
		for i := range pods {
			pod, _ := policy.ReadPod(&pods[i])
			if namespace := objects[pod.Namespace]; pod.Node == n.name && p.Selects(pod, &namespace) {
				selected = append(selected, pod)
			}
		}
		out = append(out, digest.Of(p, selected))
	}
	return out
}

// write changes the status of the node.
func (n *node) write(t *testing.T, change func(*v1alpha1.NodeEnforcerStatus)) {
	t.Helper()
	var object v1alpha1.NodeEnforcer
	must(t, n.Get(t.Context(), client.ObjectKey{Name: n.name}, &object))
	change(&object.Status)
	must(t, n.Status().Update(t.Context(), &object))
}

// wantStatus waits until the status of a policy meets a condition, and returns the
// PolicyStatus.
func (f *fixture) wantStatus(t *testing.T, name string, condition func(*v1alpha1.PolicyStatus) error) *v1alpha1.PolicyStatus {
	t.Helper()
	var got v1alpha1.PolicyStatus
	eventually.NoError(t, func() error {
		got = v1alpha1.PolicyStatus{}
		if err := f.Get(t.Context(), client.ObjectKey{Namespace: f.namespace, Name: name}, &got); err != nil {
			return err
		}
		if err := condition(&got); err != nil {
			return fmt.Errorf("%w: %+v", err, got.Status)
		}
		return nil
	})
	return &got
}

// enforced returns a function that compares a PolicyStatus with the expected numbers of pods
// and nodes and with the expected condition Enforced.
func enforced(pods, needed, enforcing int32, reason v1alpha1.Reason, words string) func(*v1alpha1.PolicyStatus) error {
	return func(p *v1alpha1.PolicyStatus) error {
		s := &p.Status
		if s.Pods != pods || s.Nodes != (v1alpha1.PolicyNodes{Needed: needed, Enforcing: enforcing}) {
			return fmt.Errorf("want %d pods, %d of %d nodes", pods, enforcing, needed)
		}
		c := meta.FindStatusCondition(s.Conditions, string(v1alpha1.ConditionEnforced))
		if c == nil || c.Reason != string(reason) || !strings.Contains(c.Message, words) {
			return fmt.Errorf("want reason %s with %q", reason, words)
		}
		if wantSince := c.Status == metav1.ConditionTrue && needed > 0; wantSince != (s.EnforcedSince != nil) {
			return fmt.Errorf("enforcedSince %v", s.EnforcedSince)
		}
		return nil
	}
}

// changed returns a check for PolicyStatuses. The check fails if the status describes an earlier
// generation of the policy. Otherwise, it returns the result of the check `right`.
func changed(np *networkingv1.NetworkPolicy, right func(*v1alpha1.PolicyStatus) error) func(*v1alpha1.PolicyStatus) error {
	return func(p *v1alpha1.PolicyStatus) error {
		if p.Status.ObservedGeneration != np.Generation {
			return fmt.Errorf("want generation %d", np.Generation)
		}
		return right(p)
	}
}
