package enforcer_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/config/rbac"
	"github.com/sluicenet/sluice/controllers/enforcer/internal/fullspec"
	"github.com/sluicenet/sluice/test/eventually"
)

// TestEnforcerWithEmptySpec checks that an Enforcer with an empty spec works, and that its
// status reflects the nodes.
func TestEnforcerWithEmptySpec(t *testing.T) {
	f := newFixture(t)
	startOperator(t)
	f.createEnforcer(v1alpha1.EnforcerSpec{})
	daemonSet := f.waitForDaemonSet("sluice", exists)
	if got := daemonSet.Spec.Template.Spec.Containers[1].Image; got != testImage {
		t.Errorf("image %s, want %s, the image of the operator", got, testImage)
	}
	want := []string{
		"dataplane", "--state-dir", "/run/sluice", "--cni-results", "/var/lib/cni/results", "--health-address", "unix:/run/health/dataplane.sock",
		"--mark-mask", "0x60", "--failure-policy", "Closed", "--deny", "Drop", "--queue-base", "2700", "--denial-log", "10", "--hold", "3s",
	}
	if got := daemonSet.Spec.UpdateStrategy.RollingUpdate; got.MaxSurge.String() != "10%" || got.MaxUnavailable.IntValue() != 0 {
		t.Errorf("update strategy %+v, want a surge of 10 percent", got)
	}
	if diff := cmp.Diff(want, daemonSet.Spec.Template.Spec.Containers[1].Args); diff != "" {
		t.Errorf("arguments of the dataplane (-want +got):\n%s", diff)
	}
	if owner := metav1.GetControllerOf(daemonSet); owner == nil || owner.Kind != "Enforcer" || owner.Name != enforcerKey.Name {
		t.Errorf("owner %v, want the Enforcer", owner)
	}
	f.wantCondition(v1alpha1.ConditionAvailable, metav1.ConditionFalse, v1alpha1.ReasonNoNodes)

	f.createNode("create-a")
	f.wantCondition(v1alpha1.ConditionAvailable, metav1.ConditionFalse, v1alpha1.ReasonNodesMissing, "create-a: no agent has reported yet")
	f.wantCondition(v1alpha1.ConditionProgressing, metav1.ConditionTrue, v1alpha1.ReasonRollingOut, "0 of 1 nodes")
	f.reportEnforcing("create-a")
	f.setRolledOut(1)
	f.wantCondition(v1alpha1.ConditionAvailable, metav1.ConditionTrue, v1alpha1.ReasonAllNodes, "1 of 1 nodes enforce")
	f.wantCondition(v1alpha1.ConditionProgressing, metav1.ConditionFalse, v1alpha1.ReasonAllNodes)
	f.wantCondition(v1alpha1.ConditionDegraded, metav1.ConditionFalse, v1alpha1.ReasonAsExpected)

	f.reportEnforcing("create-a", v1alpha1.NewCondition(v1alpha1.ConditionDegraded, metav1.ConditionTrue, v1alpha1.ReasonPacketsDropped, "12 packets found a queue full"))
	f.wantCondition(v1alpha1.ConditionDegraded, metav1.ConditionTrue, v1alpha1.ReasonNodesDegraded, "create-a: 12 packets found a queue full")
}

// TestTerminationMessageIsInStatus checks that the status contains the termination message
// of a dataplane.
func TestTerminationMessageIsInStatus(t *testing.T) {
	f := newFixture(t)
	startOperator(t)
	f.createEnforcer(v1alpha1.EnforcerSpec{})
	f.createNode("lacks-a")
	pod := f.createPod(f.waitForDaemonSet("sluice", exists), "lacks-a")
	f.setPodStatus(pod, corev1.ConditionFalse, corev1.ContainerStatus{
		Name: "dataplane", Image: testImage, ImageID: testImage,
		State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Message: "sluice: this kernel lacks NETFILTER_NETLINK_QUEUE\n"}},
	})
	f.wantCondition(v1alpha1.ConditionDegraded, metav1.ConditionTrue, v1alpha1.ReasonNodesDegraded,
		"lacks-a: dataplane ended with code 1: sluice: this kernel lacks NETFILTER_NETLINK_QUEUE")
}

// TestEveryFieldReachesThePod checks that changing the spec changes the DaemonSet.
func TestEveryFieldReachesThePod(t *testing.T) {
	f := newFixture(t)
	startOperator(t)
	f.createEnforcer(v1alpha1.EnforcerSpec{})
	before := f.waitForDaemonSet("sluice", exists)
	change(f, &v1alpha1.Enforcer{}, enforcerKey.Name, func(e *v1alpha1.Enforcer) { e.Spec = fullspec.Spec() })
	after := f.waitForDaemonSet("sluice", func(d *appsv1.DaemonSet) error {
		if d.Generation == before.Generation {
			return fmt.Errorf("generation %d is unchanged", d.Generation)
		}
		return nil
	})
	spec := after.Spec.Template.Spec
	want := []string{
		"dataplane", "--state-dir", "/run/sluice", "--cni-results", "/var/lib/other-cni/results", "--health-address", "unix:/run/health/dataplane.sock",
		"--mark-mask", "0x30000", "--failure-policy", "Open", "--deny", "Reject", "--queue-base", "100", "--queues", "4", "--denial-log", "0", "--hold", "1.5s", "--log-level", "debug", "--log-format", "text",
	}
	if got := after.Spec.UpdateStrategy.RollingUpdate; got.MaxSurge.IntValue() != 0 || got.MaxUnavailable.IntValue() != 5 {
		t.Errorf("update strategy %+v, want that five pods end first", got)
	}
	if diff := cmp.Diff(want, spec.Containers[1].Args); diff != "" {
		t.Errorf("arguments of the dataplane (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{corev1.LabelOSStable: "linux", "pool": "edge"}, spec.NodeSelector); diff != "" {
		t.Errorf("node selector (-want +got):\n%s", diff)
	}
	if len(spec.Tolerations) != 2 || spec.Tolerations[0].Key != "gpu" || spec.Tolerations[1].Key != v1alpha1.TaintNotReady {
		t.Errorf("tolerations %v", spec.Tolerations)
	}
	if spec.Containers[0].Resources.Requests != nil || spec.Containers[0].Resources.Limits.Memory().String() != "256Mi" {
		t.Errorf("resources of the agent %v: they contain requests that were removed", spec.Containers[0].Resources)
	}
}

// TestForeignChangesAreRepaired checks that the operator restores objects that another
// client changes or deletes. It also checks that the operator keeps fields that it does not
// manage, and writes nothing while nothing changes.
func TestForeignChangesAreRepaired(t *testing.T) {
	f := newFixture(t)
	o := startOperator(t)
	f.createEnforcer(v1alpha1.EnforcerSpec{})
	daemonSet := f.waitForDaemonSet("sluice", exists)
	role := &rbacv1.ClusterRole{}
	eventually.NoError(t, func() error { return f.Get(t.Context(), client.ObjectKey{Name: "sluice-agent"}, role) })
	rights := len(role.Rules)

	for range 3 {
		change(f, daemonSet, "sluice", func(d *appsv1.DaemonSet) {
			d.Spec.Template.Spec.Containers[1].Args = []string{"dataplane", "--failure-policy", "Open"}
			d.Annotations = map[string]string{"example.com/note": "mine"}
		})
		f.waitForDaemonSet("sluice", func(d *appsv1.DaemonSet) error {
			if len(d.Spec.Template.Spec.Containers[1].Args) < 10 {
				return fmt.Errorf("arguments %v", d.Spec.Template.Spec.Containers[1].Args)
			}
			if d.Annotations["example.com/note"] != "mine" {
				return fmt.Errorf("the annotation of another client is gone")
			}
			return nil
		})
	}
	change(f, role, "sluice-agent", func(r *rbacv1.ClusterRole) {
		r.Rules = append(r.Rules, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get"}})
	})
	eventually.NoError(t, func() error {
		if err := f.Get(t.Context(), client.ObjectKey{Name: "sluice-agent"}, role); err != nil {
			return err
		}
		if len(role.Rules) != rights {
			return fmt.Errorf("%d rules, want %d", len(role.Rules), rights)
		}
		return nil
	})
	agents, err := rbac.Agent(rbac.Namespace)
	must(t, err)
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: rbac.Namespace, Name: "sluice-metrics"}}
	for _, object := range append([]client.Object{service, daemonSet}, asObjects(agents)...) {
		before := object.DeepCopyObject().(client.Object)
		must(t, f.Get(t.Context(), client.ObjectKeyFromObject(object), before))
		must(t, f.Delete(t.Context(), object))
		eventually.NoError(t, func() error {
			if err := f.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
				return err
			}
			if object.GetUID() == before.GetUID() {
				return fmt.Errorf("%s is still the deleted object", object.GetName())
			}
			return nil
		})
	}
	f.createNode("drift-a")
	f.reportEnforcing("drift-a")
	f.setRolledOut(1)
	f.wantCondition(v1alpha1.ConditionAvailable, metav1.ConditionTrue, v1alpha1.ReasonAllNodes)
	f.wantCondition(v1alpha1.ConditionProgressing, metav1.ConditionFalse, v1alpha1.ReasonAllNodes, "1 of 1 nodes run the current spec")

	settled, status := o.written("daemonsets/sluice"), o.written("enforcers/default/status")
	for range 20 {
		f.reportEnforcing("drift-a")
		<-time.After(100 * time.Millisecond)
	}
	if n := o.written("daemonsets/sluice") - settled; n != 0 {
		t.Errorf("%d writes of a DaemonSet without changes", n)
	}
	if n := o.written("enforcers/default/status") - status; n != 0 {
		t.Errorf("%d writes of a status without changes", n)
	}
}

func asObjects[T client.Object](in []T) []client.Object {
	var out []client.Object
	for _, object := range in {
		out = append(out, object)
	}
	return out
}

// TestRestartChangesNothing checks that a restarted operator changes no object.
func TestRestartChangesNothing(t *testing.T) {
	f := newFixture(t)
	first := startOperator(t)
	f.createEnforcer(v1alpha1.EnforcerSpec{})
	f.createNode("restart-a")
	f.reportEnforcing("restart-a")
	f.waitForDaemonSet("sluice", exists)
	f.setRolledOut(1)
	f.wantCondition(v1alpha1.ConditionAvailable, metav1.ConditionTrue, v1alpha1.ReasonAllNodes)
	first.stop()
	before := f.waitForDaemonSet("sluice", exists)
	change(f, &v1alpha1.Enforcer{}, enforcerKey.Name, func(e *v1alpha1.Enforcer) { e.Annotations = map[string]string{"a": "b"} })

	next := startOperator(t)
	eventually.NoError(t, func() error {
		if next.written("daemonsets/sluice") == 0 {
			return fmt.Errorf("it has not applied the DaemonSet yet")
		}
		return nil
	})
	if diff := cmp.Diff(before, f.waitForDaemonSet("sluice", exists)); diff != "" {
		t.Errorf("the DaemonSet changed (-before +after):\n%s", diff)
	}
	var e v1alpha1.Enforcer
	must(t, f.Get(t.Context(), enforcerKey, &e))
	if !meta.IsStatusConditionTrue(e.Status.Conditions, string(v1alpha1.ConditionAvailable)) {
		t.Errorf("status %v", e.Status)
	}
}
