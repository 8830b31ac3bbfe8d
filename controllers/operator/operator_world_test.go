package operator_test

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
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/config/rbac"
	"github.com/sluicenet/sluice/controllers/operator"
	"github.com/sluicenet/sluice/test/eventually"
)

const testImage = "registry.example/sluice:test"

// asOperator gives the operator's own account, as a pod of it has.
func asOperator() *rest.Config {
	config := server.Config()
	config.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:" + rbac.Namespace + ":sluice-operator",
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + rbac.Namespace, "system:authenticated"},
	}
	return config
}

// allow gives the operator the rights that it ships with.
func allow(t *testing.T) {
	t.Helper()
	admin := server.Client(t)
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: rbac.Namespace}}
	must(t, ignoreExists(admin.Create(t.Context(), namespace)))
	objects, err := rbac.Operator(rbac.Namespace)
	must(t, err)
	for _, object := range objects {
		must(t, ignoreExists(admin.Create(t.Context(), object)))
	}
	// The API server's own caches of roles take a moment.
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

// running is an operator that works with the rights it ships with.
type running struct {
	stop func()

	mu sync.Mutex
	// writes counts requests that change something, by method and path.
	writes map[string]int
	// refused are requests that it may not make.
	refused []string
}

// RoundTrip notes what an operator asks for.
func (r *running) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		response, err := next.RoundTrip(request)
		r.mu.Lock()
		defer r.mu.Unlock()
		what := request.Method + " " + request.URL.Path
		if request.Method != http.MethodGet {
			r.writes[what]++
		}
		if err == nil && response.StatusCode == http.StatusForbidden {
			r.refused = append(r.refused, what)
		}
		return response, err
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// written counts writes to paths that end so.
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

// startOperator runs an operator until the test ends or stop is called. It may
// do whatever it tries to.
func startOperator(t *testing.T) *running {
	t.Helper()
	allow(t)
	r := &running{writes: map[string]int{}}
	config := asOperator()
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
			Namespace: rbac.Namespace, Image: testImage, LeaderElection: true,
			MetricsAddress: "0", HealthAddress: "0", Log: log,
		})
	}()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("operator: %v", err)
		}
		if len(r.refused) > 0 {
			t.Errorf("the operator tried what its role does not allow: %q", r.refused)
		}
	})
	t.Cleanup(r.stop)
	return r
}

// site is a cluster with an Enforcer. It is gone when the test ends.
type site struct {
	client.WithWatch
	t *testing.T
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{server.Client(t), t}
	s.clear()
	t.Cleanup(s.clear)
	return s
}

// clear removes everything, also what other tests left.
func (s *site) clear() {
	ctx := context.Background()
	var enforcer v1alpha1.Enforcer
	if err := s.Get(ctx, theName, &enforcer); err == nil {
		enforcer.Finalizers = nil
		s.check(client.IgnoreNotFound(s.Update(ctx, &enforcer)))
		s.check(client.IgnoreNotFound(s.Delete(ctx, &enforcer)))
	}
	agents, err := rbac.Agent(rbac.Namespace)
	s.check(err)
	for _, object := range agents {
		s.check(client.IgnoreNotFound(s.Delete(ctx, object)))
	}
	for _, object := range []client.Object{&appsv1.DaemonSet{}, &corev1.Service{}, &corev1.Pod{}} {
		s.check(s.DeleteAllOf(ctx, object, client.InNamespace(rbac.Namespace), client.GracePeriodSeconds(0)))
	}
	s.check(s.DeleteAllOf(ctx, &v1alpha1.NodeEnforcer{}))
	s.check(s.DeleteAllOf(ctx, &corev1.Node{}))
}

func (s *site) check(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Error(err)
	}
}

var theName = client.ObjectKey{Name: v1alpha1.EnforcerName}

// enforcer makes the Enforcer.
func (s *site) enforcer(spec v1alpha1.EnforcerSpec) {
	s.t.Helper()
	must(s.t, s.Create(s.t.Context(), &v1alpha1.Enforcer{ObjectMeta: metav1.ObjectMeta{Name: theName.Name}, Spec: spec}))
}

// change changes an object, whoever else does meanwhile.
func change[T client.Object](s *site, object T, name string, f func(T)) {
	s.t.Helper()
	key := client.ObjectKey{Name: name}
	switch client.Object(object).(type) {
	case *appsv1.DaemonSet, *corev1.Service, *corev1.ServiceAccount, *corev1.Pod:
		key.Namespace = rbac.Namespace
	}
	eventually.NoError(s.t, func() error {
		if err := s.Get(s.t.Context(), key, object); err != nil {
			return err
		}
		f(object)
		return s.Update(s.t.Context(), object)
	})
}

// daemonSet waits for a DaemonSet that is right.
func (s *site) daemonSet(name string, right func(*appsv1.DaemonSet) error) *appsv1.DaemonSet {
	s.t.Helper()
	object := &appsv1.DaemonSet{}
	eventually.NoError(s.t, func() error {
		*object = appsv1.DaemonSet{}
		if err := s.Get(s.t.Context(), client.ObjectKey{Namespace: rbac.Namespace, Name: name}, object); err != nil {
			return err
		}
		return right(object)
	})
	return object
}

func there(*appsv1.DaemonSet) error { return nil }

// gone waits until an object is not there.
func (s *site) gone(object client.Object, name string) {
	s.t.Helper()
	key := client.ObjectKey{Namespace: object.GetNamespace(), Name: name}
	eventually.NoError(s.t, func() error {
		err := s.Get(s.t.Context(), key, object)
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(err, fmt.Errorf("%T %s is there", object, name))
	})
}

// node makes a node that is Linux and ready, and enforces: as its kubelet and
// its agent say.
func (s *site) node(name string) *corev1.Node {
	s.t.Helper()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelOSStable: "linux"}}}
	must(s.t, s.Create(s.t.Context(), node))
	// The API server's own taint, which a controller takes away.
	node.Spec.Taints = nil
	must(s.t, s.Update(s.t.Context(), node))
	s.ready(node, corev1.ConditionTrue, time.Now())
	return node
}

// ready writes whether a node's kubelet is, and since when.
func (s *site) ready(node *corev1.Node, status corev1.ConditionStatus, since time.Time) {
	s.t.Helper()
	node.Status.Conditions = []corev1.NodeCondition{{
		Type: corev1.NodeReady, Status: status, LastTransitionTime: metav1.NewTime(since), LastHeartbeatTime: metav1.NewTime(since),
	}}
	must(s.t, s.Status().Update(s.t.Context(), node))
}

// enforces writes what a node's agent writes.
func (s *site) enforces(name string, conditions ...metav1.Condition) {
	s.t.Helper()
	n := &v1alpha1.NodeEnforcer{ObjectMeta: metav1.ObjectMeta{Name: name}}
	must(s.t, ignoreExists(s.Create(s.t.Context(), n)))
	must(s.t, s.Get(s.t.Context(), client.ObjectKey{Name: name}, n))
	n.Status.Heartbeat = ptr.To(metav1.Now())
	for _, c := range append([]metav1.Condition{
		v1alpha1.NewCondition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonEnforcing, "enforces"),
	}, conditions...) {
		meta.SetStatusCondition(&n.Status.Conditions, c)
	}
	must(s.t, s.Status().Update(s.t.Context(), n))
}

// rolledOut writes what the DaemonSet controller writes when all pods are new.
func (s *site) rolledOut(pods int32) {
	s.t.Helper()
	eventually.NoError(s.t, func() error {
		var d appsv1.DaemonSet
		if err := s.Get(s.t.Context(), client.ObjectKey{Namespace: rbac.Namespace, Name: "sluice"}, &d); err != nil {
			return err
		}
		d.Status = appsv1.DaemonSetStatus{
			ObservedGeneration: d.Generation, DesiredNumberScheduled: pods, CurrentNumberScheduled: pods,
			NumberReady: pods, NumberAvailable: pods, UpdatedNumberScheduled: pods,
		}
		return s.Status().Update(s.t.Context(), &d)
	})
}

// pod makes a pod of a DaemonSet on a node, as its controller does.
func (s *site) pod(daemonSet *appsv1.DaemonSet, node string) *corev1.Pod {
	s.t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: rbac.Namespace, Name: daemonSet.Name + "-" + node, Labels: daemonSet.Spec.Template.Labels,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(daemonSet, appsv1.SchemeGroupVersion.WithKind("DaemonSet"))},
		},
		Spec: *daemonSet.Spec.Template.Spec.DeepCopy(),
	}
	pod.Spec.NodeName, pod.Spec.PriorityClassName = node, ""
	must(s.t, s.Create(s.t.Context(), pod))
	return pod
}

// report writes what a kubelet says of a pod.
func (s *site) report(pod *corev1.Pod, ready corev1.ConditionStatus, containers ...corev1.ContainerStatus) {
	s.t.Helper()
	pod.Status.Phase = corev1.PodRunning
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}
	pod.Status.ContainerStatuses = containers
	must(s.t, s.Status().Update(s.t.Context(), pod))
}

func (s *site) end(pod *corev1.Pod) {
	s.t.Helper()
	must(s.t, client.IgnoreNotFound(s.Delete(s.t.Context(), pod, client.GracePeriodSeconds(0))))
}

// says waits until a condition of the Enforcer has a status, a reason, and words.
func (s *site) says(kind v1alpha1.ConditionType, status metav1.ConditionStatus, reason v1alpha1.Reason, words ...string) {
	s.t.Helper()
	eventually.NoError(s.t, func() error {
		var e v1alpha1.Enforcer
		if err := s.Get(s.t.Context(), theName, &e); err != nil {
			return err
		}
		c := meta.FindStatusCondition(e.Status.Conditions, string(kind))
		if c == nil || c.Status != status || c.Reason != string(reason) || e.Status.ObservedGeneration != e.Generation {
			return fmt.Errorf("want %s %s %s, have %+v", kind, status, reason, e.Status)
		}
		for _, word := range words {
			if !strings.Contains(c.Message, word) {
				return fmt.Errorf("%s says %q, want it to say %q", kind, c.Message, word)
			}
		}
		return nil
	})
}

// stranger is a DaemonSet of somebody else.
func (s *site) stranger(name string) *appsv1.DaemonSet {
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

// service waits for the Service of our metrics.
func (s *site) service() {
	s.t.Helper()
	eventually.NoError(s.t, func() error {
		return s.Get(s.t.Context(), client.ObjectKey{Namespace: rbac.Namespace, Name: "sluice-metrics"}, &corev1.Service{})
	})
}
