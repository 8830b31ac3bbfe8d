package enforcer_test

import (
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/config/rbac"
	"github.com/sluicenet/sluice/test/eventually"
)

// fight undoes each repair: whenever the operator has restored an argument of the dataplane, fight
// changes the argument again. It returns after the duration `d`.
func (f *fixture) fight(manager string, d time.Duration) {
	f.t.Helper()
	key := client.ObjectKey{Namespace: rbac.Namespace, Name: "sluice"}
	for end := time.Now().Add(d); time.Now().Before(end); <-time.After(20 * time.Millisecond) {
		var object appsv1.DaemonSet
		must(f.t, f.Get(f.t.Context(), key, &object))
		args := &object.Spec.Template.Spec.Containers[1].Args
		if len(*args) == 1 {
			continue
		}
		*args = []string{"dataplane"}
		if err := f.Update(f.t.Context(), &object, client.FieldOwner(manager)); err != nil && !apierrors.IsConflict(err) {
			f.t.Fatal(err)
		}
	}
}

// TestRepairsBackOff checks that the operator restores an object less and less often if another
// client changes it again each time, and that the status names the object and the client.
func TestRepairsBackOff(t *testing.T) {
	f := newFixture(t)
	o := startOperator(t)
	f.createEnforcer(v1alpha1.EnforcerSpec{})
	f.waitForDaemonSet("sluice", exists)
	before := o.written("daemonsets/sluice")
	f.fight("stubborn", 5*time.Second)
	if n := o.written("daemonsets/sluice") - before; n < 3 || n > 10 {
		t.Errorf("%d requests in 5 s, want 3 to 10", n)
	}
	f.wantCondition(v1alpha1.ConditionDegraded, metav1.ConditionTrue, v1alpha1.ReasonConflict,
		`DaemonSet sluice-system/sluice: field manager "stubborn" changes .spec.template.spec.containers`)
	f.waitForDaemonSet("sluice", func(d *appsv1.DaemonSet) error {
		if len(d.Spec.Template.Spec.Containers[1].Args) == 1 {
			return fmt.Errorf("the arguments are not restored")
		}
		return nil
	})
}

// TestSecondInstallation checks that an operator in another namespace changes nothing while the
// namespace of the first installation exists, and takes over when a user changes the annotation.
func TestSecondInstallation(t *testing.T) {
	f := newFixture(t)
	startOperator(t)
	f.createEnforcer(v1alpha1.EnforcerSpec{})
	f.waitForDaemonSet("sluice", exists)
	other := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "sluice-other"}}
	must(t, ignoreExists(f.Create(t.Context(), other)))
	second := newOperator()
	second.config, second.namespace = server.Config(), other.Name
	second.start(t)

	f.wantEvent("InstallationIgnored", "the installation in namespace sluice-system owns the Enforcer")
	<-time.After(3 * time.Second)
	// The second operator writes only its Lease and Events.
	for _, path := range []string{"", "/status"} {
		if n := second.written("enforcers/default" + path); n > 0 {
			t.Errorf("the second installation wrote enforcers/default%s %d times", path, n)
		}
	}
	for _, path := range []string{"daemonsets/sluice", "daemonsets/sluice-uninstall", "sluice-agent", "sluice-agent-own-node", "sluice-metrics"} {
		if n := second.written(path); n > 0 {
			t.Errorf("the second installation wrote %s %d times", path, n)
		}
	}
	change(f, &v1alpha1.Enforcer{}, enforcerKey.Name, func(e *v1alpha1.Enforcer) {
		e.Annotations[v1alpha1.AnnotationInstallation] = other.Name
	})
	eventually.NoError(t, func() error {
		return f.Get(t.Context(), client.ObjectKey{Namespace: other.Name, Name: "sluice"}, &appsv1.DaemonSet{})
	})
	must(t, f.DeleteAllOf(t.Context(), &appsv1.DaemonSet{}, client.InNamespace(other.Name)))
}

// TestOwnerIsGone checks that an operator claims an Enforcer if the namespace of its owner no
// longer exists.
func TestOwnerIsGone(t *testing.T) {
	f := newFixture(t)
	must(t, f.Create(t.Context(), &v1alpha1.Enforcer{ObjectMeta: metav1.ObjectMeta{
		Name: enforcerKey.Name, Annotations: map[string]string{v1alpha1.AnnotationInstallation: "deleted"},
	}}))
	startOperator(t)
	f.waitForDaemonSet("sluice", exists)
	var e v1alpha1.Enforcer
	must(t, f.Get(t.Context(), enforcerKey, &e))
	if got := e.Annotations[v1alpha1.AnnotationInstallation]; got != rbac.Namespace {
		t.Errorf("the Enforcer belongs to %q, want %s", got, rbac.Namespace)
	}
}
