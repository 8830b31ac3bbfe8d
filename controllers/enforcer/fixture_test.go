package enforcer_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/config/rbac"
	"github.com/sluicenet/sluice/controllers/operator"
	"github.com/sluicenet/sluice/test/eventually"
)

const testImage = "registry.example/sluice:test"

// asOperator returns a client configuration that uses the service account of the operator.
func asOperator() *rest.Config {
	config := server.Config()
	config.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:" + rbac.Namespace + ":sluice-operator",
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + rbac.Namespace, "system:authenticated"},
	}
	return config
}

// installRoles installs the roles of the operator.
func installRoles(t *testing.T) {
	t.Helper()
	admin := server.Client(t)
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: rbac.Namespace}}
	must(t, ignoreExists(admin.Create(t.Context(), namespace)))
	objects, err := rbac.Operator(rbac.Namespace)
	must(t, err)
	for _, object := range objects {
		must(t, ignoreExists(admin.Create(t.Context(), object)))
	}
	// The API server caches roles, so wait until it applies the new role.
	c := server.ClientFor(t, asOperator())
	eventually.NoError(t, func() error { return c.List(t.Context(), &v1alpha1.EnforcerList{}) })
	eventually.NoError(t, func() error { return c.List(t.Context(), &appsv1.DaemonSetList{}, client.InNamespace(rbac.Namespace)) })
}

func ignoreExists(err error) error {
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// running is a running operator with only the rights of its role.
type running struct {
	stop func()
	// config and namespace are those of the operator.
	config    *rest.Config
	namespace string
	// The function `before`, if set, is called before each request.
	before func(*http.Request)

	mu sync.Mutex
	// writes contains the number of requests by method and path, without GET requests.
	writes map[string]int
	// forbidden lists the requests that the API server rejected because the role does not
	// allow them.
	forbidden []string
}

// wrap returns a transport that records the requests of the operator.
func (r *running) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		if r.before != nil {
			r.before(request)
		}
		response, err := next.RoundTrip(request)
		r.mu.Lock()
		defer r.mu.Unlock()
		what := request.Method + " " + request.URL.Path
		if request.Method != http.MethodGet {
			r.writes[what]++
		}
		if err == nil && response.StatusCode == http.StatusForbidden {
			r.forbidden = append(r.forbidden, what)
		}
		return response, err
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// written returns the number of writes to paths with the given suffix.
func (r *running) written(suffix string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	sum := 0
	for what, n := range r.writes {
		if strings.HasSuffix(what, suffix) {
			sum += n
		}
	}
	return sum
}

// startOperator runs an operator until the test ends or the `stop` method is called. The test
// fails if the operator makes a request that its role does not allow.
func startOperator(t *testing.T) *running {
	t.Helper()
	r := newOperator()
	r.start(t)
	return r
}

func newOperator() *running {
	return &running{config: asOperator(), namespace: rbac.Namespace, writes: map[string]int{}}
}

func (r *running) start(t *testing.T) {
	t.Helper()
	installRoles(t)
	config := rest.CopyConfig(r.config)
	config.Wrap(r.wrap)
	log := funcr.New(func(prefix, args string) {
		if testing.Verbose() {
			fmt.Fprintln(os.Stderr, prefix, args)
		}
	}, funcr.Options{})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- operator.Run(ctx, config, operator.Options{
			Namespace: r.namespace, Image: testImage, FaultDelay: 100 * time.Millisecond, Registry: prometheus.NewRegistry(), LeaderElection: true,
			MetricsAddress: "0", HealthAddress: "0", Log: log,
		})
	}()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("operator: %v", err)
		}
		if len(r.forbidden) > 0 {
			t.Errorf("the role of the operator does not allow: %q", r.forbidden)
		}
	})
	t.Cleanup(r.stop)
}

// fixture is a cluster. Each test starts with an empty cluster. The objects of the test are
// deleted when the test ends.
type fixture struct {
	client.WithWatch
	t *testing.T
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{server.Client(t), t}
	f.clear()
	t.Cleanup(f.clear)
	return f
}

// clear removes all objects that tests of this package create.
func (f *fixture) clear() {
	ctx := context.Background()
	var enforcer v1alpha1.Enforcer
	if err := f.Get(ctx, enforcerKey, &enforcer); err == nil {
		enforcer.Finalizers = nil
		f.check(client.IgnoreNotFound(f.Update(ctx, &enforcer)))
		f.check(client.IgnoreNotFound(f.Delete(ctx, &enforcer)))
	}
	agents, err := rbac.Agent(rbac.Namespace)
	f.check(err)
	for _, object := range agents {
		f.check(client.IgnoreNotFound(f.Delete(ctx, object)))
	}
	guards, err := rbac.Installation(rbac.Namespace)
	f.check(err)
	for _, object := range guards {
		f.check(client.IgnoreNotFound(f.Delete(ctx, object)))
	}
	for _, object := range []client.Object{&appsv1.DaemonSet{}, &corev1.Service{}, &corev1.Pod{}, &corev1.ConfigMap{}} {
		f.check(f.DeleteAllOf(ctx, object, client.InNamespace(rbac.Namespace), client.GracePeriodSeconds(0)))
	}
	f.check(f.DeleteAllOf(ctx, &v1alpha1.NodeEnforcer{}))
	var records v1alpha1.NodeEnforcerList
	f.check(f.List(ctx, &records))
	for i := range records.Items {
		records.Items[i].Finalizers = nil
		f.check(client.IgnoreNotFound(f.Update(ctx, &records.Items[i])))
	}
	f.check(f.DeleteAllOf(ctx, &corev1.Node{}))
}

func (f *fixture) check(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Error(err)
	}
}

var enforcerKey = client.ObjectKey{Name: v1alpha1.EnforcerName}

// createEnforcer creates the Enforcer.
func (f *fixture) createEnforcer(spec v1alpha1.EnforcerSpec) {
	f.t.Helper()
	must(f.t, f.Create(f.t.Context(), &v1alpha1.Enforcer{ObjectMeta: metav1.ObjectMeta{Name: enforcerKey.Name}, Spec: spec}))
}

// change modifies an object. It retries after conflicts.
func change[T client.Object](f *fixture, object T, name string, modify func(T)) {
	f.t.Helper()
	key := client.ObjectKey{Name: name}
	switch client.Object(object).(type) {
	case *appsv1.DaemonSet, *corev1.Service, *corev1.ServiceAccount, *corev1.Pod:
		key.Namespace = rbac.Namespace
	}
	eventually.NoError(f.t, func() error {
		if err := f.Get(f.t.Context(), key, object); err != nil {
			return err
		}
		modify(object)
		return f.Update(f.t.Context(), object)
	})
}

// waitForDaemonSet waits until a DaemonSet meets a condition.
func (f *fixture) waitForDaemonSet(name string, condition func(*appsv1.DaemonSet) error) *appsv1.DaemonSet {
	f.t.Helper()
	object := &appsv1.DaemonSet{}
	eventually.NoError(f.t, func() error {
		*object = appsv1.DaemonSet{}
		if err := f.Get(f.t.Context(), client.ObjectKey{Namespace: rbac.Namespace, Name: name}, object); err != nil {
			return err
		}
		return condition(object)
	})
	return object
}

func exists(*appsv1.DaemonSet) error { return nil }

// wantGone waits until an object no longer exists.
func (f *fixture) wantGone(object client.Object, name string) {
	f.t.Helper()
	key := client.ObjectKey{Namespace: object.GetNamespace(), Name: name}
	eventually.NoError(f.t, func() error {
		err := f.Get(f.t.Context(), key, object)
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(err, fmt.Errorf("%T %s still exists", object, name))
	})
}

// createNode creates a Linux node that is ready.
func (f *fixture) createNode(name string) *corev1.Node {
	f.t.Helper()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelOSStable: "linux"}}}
	must(f.t, f.Create(f.t.Context(), node))
	// The API server adds a taint to new nodes. In a cluster, the node lifecycle controller
	// removes the taint.
	node.Spec.Taints = nil
	must(f.t, f.Update(f.t.Context(), node))
	f.setReady(node, corev1.ConditionTrue, time.Now())
	return node
}

// setReady sets the condition Ready of a node. The `since` parameter is the time of the
// condition's last transition.
func (f *fixture) setReady(node *corev1.Node, status corev1.ConditionStatus, since time.Time) {
	f.t.Helper()
	node.Status.Conditions = []corev1.NodeCondition{{
		Type: corev1.NodeReady, Status: status, LastTransitionTime: metav1.NewTime(since), LastHeartbeatTime: metav1.NewTime(since),
	}}
	must(f.t, f.Status().Update(f.t.Context(), node))
}

// reportEnforcing writes the NodeEnforcer that the agent of an enforcing node would write,
// with additional conditions.
func (f *fixture) reportEnforcing(name string, conditions ...metav1.Condition) {
	f.t.Helper()
	n := &v1alpha1.NodeEnforcer{ObjectMeta: metav1.ObjectMeta{Name: name, Finalizers: []string{v1alpha1.FinalizerUninstall}}}
	must(f.t, ignoreExists(f.Create(f.t.Context(), n)))
	must(f.t, f.Get(f.t.Context(), client.ObjectKey{Name: name}, n))
	for _, c := range append([]metav1.Condition{
		v1alpha1.NewCondition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonEnforcing, "enforcing"),
	}, conditions...) {
		meta.SetStatusCondition(&n.Status.Conditions, c)
	}
	must(f.t, f.Status().Update(f.t.Context(), n))
}

// setRolledOut writes the status that the DaemonSet controller writes once all pods run the
// current template.
func (f *fixture) setRolledOut(pods int32) {
	f.t.Helper()
	eventually.NoError(f.t, func() error {
		var d appsv1.DaemonSet
		if err := f.Get(f.t.Context(), client.ObjectKey{Namespace: rbac.Namespace, Name: "sluice"}, &d); err != nil {
			return err
		}
		d.Status = appsv1.DaemonSetStatus{
			ObservedGeneration: d.Generation, DesiredNumberScheduled: pods, CurrentNumberScheduled: pods,
			NumberReady: pods, NumberAvailable: pods, UpdatedNumberScheduled: pods,
		}
		return f.Status().Update(f.t.Context(), &d)
	})
}

// createPod creates a pod of a DaemonSet on a node, as the DaemonSet controller does.
func (f *fixture) createPod(daemonSet *appsv1.DaemonSet, node string) *corev1.Pod {
	f.t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: rbac.Namespace, Name: daemonSet.Name + "-" + node, Labels: daemonSet.Spec.Template.Labels,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(daemonSet, appsv1.SchemeGroupVersion.WithKind("DaemonSet"))},
		},
		Spec: *daemonSet.Spec.Template.Spec.DeepCopy(),
	}
	pod.Spec.NodeName, pod.Spec.PriorityClassName = node, ""
	must(f.t, f.Create(f.t.Context(), pod))
	return pod
}

// setPodStatus writes the status of a pod, as a kubelet does.
func (f *fixture) setPodStatus(pod *corev1.Pod, ready corev1.ConditionStatus, containers ...corev1.ContainerStatus) {
	f.t.Helper()
	pod.Status.Phase = corev1.PodRunning
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}
	pod.Status.ContainerStatuses = containers
	must(f.t, f.Status().Update(f.t.Context(), pod))
}

func (f *fixture) deletePod(pod *corev1.Pod) {
	f.t.Helper()
	must(f.t, client.IgnoreNotFound(f.Delete(f.t.Context(), pod, client.GracePeriodSeconds(0))))
}

// wantCondition waits until a condition of the Enforcer has the given status and reason,
// and a message that contains all words.
func (f *fixture) wantCondition(kind v1alpha1.ConditionType, status metav1.ConditionStatus, reason v1alpha1.Reason, words ...string) {
	f.t.Helper()
	eventually.NoError(f.t, func() error {
		var e v1alpha1.Enforcer
		if err := f.Get(f.t.Context(), enforcerKey, &e); err != nil {
			return err
		}
		c := meta.FindStatusCondition(e.Status.Conditions, string(kind))
		if c == nil || c.Status != status || c.Reason != string(reason) || e.Status.ObservedGeneration != e.Generation {
			return fmt.Errorf("want %s %s %s, have %+v", kind, status, reason, e.Status)
		}
		for _, word := range words {
			if !strings.Contains(c.Message, word) {
				return fmt.Errorf("the message of %s is %q, want %q in it", kind, c.Message, word)
			}
		}
		return nil
	})
}

// foreignDaemonSet returns a DaemonSet that the operator did not create.
func (f *fixture) foreignDaemonSet(name string) *appsv1.DaemonSet {
	labels := map[string]string{"app": "another"}
	return &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: rbac.Namespace, Name: name},
		Spec: appsv1.DaemonSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "another", Image: "another"}}},
			},
		},
	}
}

// wantService waits until the metrics Service exists.
func (f *fixture) wantService() {
	f.t.Helper()
	eventually.NoError(f.t, func() error {
		return f.Get(f.t.Context(), client.ObjectKey{Namespace: rbac.Namespace, Name: "sluice-metrics"}, &corev1.Service{})
	})
}
