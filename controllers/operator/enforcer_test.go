package operator_test

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
	"github.com/sluicenet/sluice/test/eventually"
)

// TestCreate: an empty spec is complete, and its status follows the nodes.
func TestCreate(t *testing.T) {
	s := newSite(t)
	startOperator(t)
	s.enforcer(v1alpha1.EnforcerSpec{})
	daemonSet := s.daemonSet("sluice", there)
	if got := daemonSet.Spec.Template.Spec.Containers[1].Image; got != testImage {
		t.Errorf("image %s, want the operator's, %s", got, testImage)
	}
	want := []string{
		"dataplane", "--state-dir", "/run/sluice", "--metrics-address", ":9642", "--health-address", "127.0.0.1:9643",
		"--mark-mask", "0x60", "--failure-policy", "Closed", "--deny", "Drop", "--queue-base", "2700", "--refusal-log", "10",
	}
	if diff := cmp.Diff(want, daemonSet.Spec.Template.Spec.Containers[1].Args); diff != "" {
		t.Errorf("arguments of the dataplane (-want +got):\n%s", diff)
	}
	if owner := metav1.GetControllerOf(daemonSet); owner == nil || owner.Kind != "Enforcer" || owner.Name != theName.Name {
		t.Errorf("owned by %v, want the Enforcer", owner)
	}
	s.says(v1alpha1.ConditionAvailable, metav1.ConditionFalse, v1alpha1.ReasonNoNodes)

	s.node("create-a")
	s.says(v1alpha1.ConditionAvailable, metav1.ConditionFalse, v1alpha1.ReasonNodesMissing, "create-a: no agent has reported yet")
	s.says(v1alpha1.ConditionProgressing, metav1.ConditionTrue, v1alpha1.ReasonRollingOut, "0 of 1 nodes")
	s.enforces("create-a")
	s.rolledOut(1)
	s.says(v1alpha1.ConditionAvailable, metav1.ConditionTrue, v1alpha1.ReasonAllNodes, "1 of 1 nodes enforce")
	s.says(v1alpha1.ConditionProgressing, metav1.ConditionFalse, v1alpha1.ReasonAllNodes)
	s.says(v1alpha1.ConditionDegraded, metav1.ConditionFalse, v1alpha1.ReasonAsExpected)

	s.enforces("create-a", v1alpha1.NewCondition(v1alpha1.ConditionDegraded, metav1.ConditionTrue, v1alpha1.ReasonPacketsDropped, "12 packets found a queue full"))
	s.says(v1alpha1.ConditionDegraded, metav1.ConditionTrue, v1alpha1.ReasonNodesDegraded, "create-a: 12 packets found a queue full")
}

// TestKernelLacksFeature: the last words of a dataplane reach the status.
func TestKernelLacksFeature(t *testing.T) {
	s := newSite(t)
	startOperator(t)
	s.enforcer(v1alpha1.EnforcerSpec{})
	s.node("lacks-a")
	pod := s.pod(s.daemonSet("sluice", there), "lacks-a")
	s.report(pod, corev1.ConditionFalse, corev1.ContainerStatus{
		Name: "dataplane", Image: testImage, ImageID: testImage,
		State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Message: "sluice: this kernel lacks NETFILTER_NETLINK_QUEUE\n"}},
	})
	s.says(v1alpha1.ConditionDegraded, metav1.ConditionTrue, v1alpha1.ReasonNodesDegraded,
		"lacks-a: dataplane ended with code 1: sluice: this kernel lacks NETFILTER_NETLINK_QUEUE")
}

// TestReconfigure: every field of the spec reaches the pod.
func TestReconfigure(t *testing.T) {
	s := newSite(t)
	startOperator(t)
	s.enforcer(v1alpha1.EnforcerSpec{})
	before := s.daemonSet("sluice", there)
	change(s, &v1alpha1.Enforcer{}, theName.Name, func(e *v1alpha1.Enforcer) { e.Spec = everyField() })
	after := s.daemonSet("sluice", func(d *appsv1.DaemonSet) error {
		if d.Generation == before.Generation {
			return fmt.Errorf("generation %d is the one before", d.Generation)
		}
		return nil
	})
	spec := after.Spec.Template.Spec
	want := []string{
		"dataplane", "--state-dir", "/run/sluice", "--metrics-address", ":9642", "--health-address", "127.0.0.1:9643",
		"--mark-mask", "0x30000", "--failure-policy", "Open", "--deny", "Reject", "--queue-base", "100", "--queues", "4", "--refusal-log", "0",
	}
	if diff := cmp.Diff(want, spec.Containers[1].Args); diff != "" {
		t.Errorf("arguments of the dataplane (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{corev1.LabelOSStable: "linux", "pool": "edge"}, spec.NodeSelector); diff != "" {
		t.Errorf("node selector (-want +got):\n%s", diff)
	}
	if len(spec.Tolerations) != 1 || spec.Tolerations[0].Key != "gpu" {
		t.Errorf("tolerations %v", spec.Tolerations)
	}
	if spec.Containers[0].Resources.Requests != nil || spec.Containers[0].Resources.Limits.Memory().String() != "256Mi" {
		t.Errorf("resources of the agent %v: what was asked for before is still there", spec.Containers[0].Resources)
	}
}

// TestDrift: what others change or delete is as it was soon after, fields of
// others stay, and an operator with nothing to do writes nothing.
func TestDrift(t *testing.T) {
	s := newSite(t)
	o := startOperator(t)
	s.enforcer(v1alpha1.EnforcerSpec{})
	daemonSet := s.daemonSet("sluice", there)
	role := &rbacv1.ClusterRole{}
	eventually.NoError(t, func() error { return s.Get(t.Context(), client.ObjectKey{Name: "sluice-agent"}, role) })
	rights := len(role.Rules)

	for range 3 {
		change(s, daemonSet, "sluice", func(d *appsv1.DaemonSet) {
			d.Spec.Template.Spec.Containers[1].Args = []string{"dataplane", "--failure-policy", "Open"}
			d.Annotations = map[string]string{"example.com/note": "mine"}
		})
		s.daemonSet("sluice", func(d *appsv1.DaemonSet) error {
			if len(d.Spec.Template.Spec.Containers[1].Args) < 10 {
				return fmt.Errorf("arguments %v", d.Spec.Template.Spec.Containers[1].Args)
			}
			if d.Annotations["example.com/note"] != "mine" {
				return fmt.Errorf("the annotation of somebody else is gone")
			}
			return nil
		})
	}
	change(s, role, "sluice-agent", func(r *rbacv1.ClusterRole) {
		r.Rules = append(r.Rules, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get"}})
	})
	eventually.NoError(t, func() error {
		if err := s.Get(t.Context(), client.ObjectKey{Name: "sluice-agent"}, role); err != nil {
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
		must(t, s.Get(t.Context(), client.ObjectKeyFromObject(object), before))
		must(t, s.Delete(t.Context(), object))
		eventually.NoError(t, func() error {
			if err := s.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
				return err
			}
			if object.GetUID() == before.GetUID() {
				return fmt.Errorf("%s is still the one before", object.GetName())
			}
			return nil
		})
	}
	s.node("drift-a")
	s.enforces("drift-a")
	s.rolledOut(1)
	s.says(v1alpha1.ConditionAvailable, metav1.ConditionTrue, v1alpha1.ReasonAllNodes)

	settled, status := o.written("daemonsets/sluice"), o.written("enforcers/default/status")
	for range 20 {
		s.enforces("drift-a")
		<-time.After(100 * time.Millisecond)
	}
	if n := o.written("daemonsets/sluice") - settled; n != 0 {
		t.Errorf("%d writes of a DaemonSet that is as it should be", n)
	}
	if n := o.written("enforcers/default/status") - status; n != 0 {
		t.Errorf("%d writes of a status that says nothing new", n)
	}
}

func asObjects[T client.Object](in []T) []client.Object {
	var out []client.Object
	for _, object := range in {
		out = append(out, object)
	}
	return out
}

// TestRestart: an operator that comes next changes nothing.
func TestRestart(t *testing.T) {
	s := newSite(t)
	first := startOperator(t)
	s.enforcer(v1alpha1.EnforcerSpec{})
	s.node("restart-a")
	s.enforces("restart-a")
	s.daemonSet("sluice", there)
	s.rolledOut(1)
	s.says(v1alpha1.ConditionAvailable, metav1.ConditionTrue, v1alpha1.ReasonAllNodes)
	first.stop()
	before := s.daemonSet("sluice", there)
	change(s, &v1alpha1.Enforcer{}, theName.Name, func(e *v1alpha1.Enforcer) { e.Annotations = map[string]string{"a": "b"} })

	next := startOperator(t)
	eventually.NoError(t, func() error {
		if next.written("daemonsets/sluice") == 0 {
			return fmt.Errorf("it has not looked at the DaemonSet yet")
		}
		return nil
	})
	if diff := cmp.Diff(before, s.daemonSet("sluice", there)); diff != "" {
		t.Errorf("the DaemonSet changed (-before +after):\n%s", diff)
	}
	var e v1alpha1.Enforcer
	must(t, s.Get(t.Context(), theName, &e))
	if !meta.IsStatusConditionTrue(e.Status.Conditions, string(v1alpha1.ConditionAvailable)) {
		t.Errorf("status %v", e.Status)
	}
}
