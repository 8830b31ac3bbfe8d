package operator_test

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/config/rbac"
	"github.com/sluicenet/sluice/controllers/operator"
)

// TestUninstall goes through all steps, with an operator that ends after each.
func TestUninstall(t *testing.T) {
	s := newSite(t)
	o := startOperator(t)
	again := func() {
		o.stop()
		o = startOperator(t)
	}
	s.enforcer(v1alpha1.EnforcerSpec{MarkMask: "0x30000"})
	daemonSet := s.daemonSet("sluice", there)
	gone := s.node("uninstall-gone")
	pods := map[string]*corev1.Pod{}
	for _, node := range []string{"uninstall-a", "uninstall-b"} {
		s.node(node)
		s.enforces(node)
		pods[node] = s.pod(daemonSet, node)
	}
	s.enforces(gone.Name)
	s.pod(daemonSet, gone.Name)
	s.enforces("uninstall-removed")
	again()

	must(t, s.Delete(t.Context(), &v1alpha1.Enforcer{ObjectMeta: metav1.ObjectMeta{Name: theName.Name}}))
	s.gone(&appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: rbac.Namespace}}, "sluice")
	s.says(v1alpha1.ConditionAvailable, metav1.ConditionFalse, v1alpha1.ReasonUninstalling)
	s.says(v1alpha1.ConditionProgressing, metav1.ConditionTrue, v1alpha1.ReasonUninstalling, "pods that enforce", "on 3 nodes", "uninstall-a", "uninstall-b", "uninstall-gone")
	again()
	s.end(pods["uninstall-a"])
	s.ready(gone, corev1.ConditionUnknown, time.Now().Add(-operator.NodeGoneTime-time.Minute))
	s.says(v1alpha1.ConditionProgressing, metav1.ConditionTrue, v1alpha1.ReasonUninstalling, "on 1 nodes", "uninstall-b")
	s.end(pods["uninstall-b"])

	uninstall := s.daemonSet("sluice-uninstall", there)
	args := uninstall.Spec.Template.Spec.Containers[0].Args
	if want := "0x30000"; args[len(args)-1] != want {
		t.Errorf("arguments %v, want the mark mask %s", args, want)
	}
	if len(uninstall.OwnerReferences) > 0 {
		t.Errorf("owned by %v: it must outlive a deletion of what the Enforcer owns", uninstall.OwnerReferences)
	}
	s.says(v1alpha1.ConditionProgressing, metav1.ConditionTrue, v1alpha1.ReasonUninstalling, "prove", "on 2 nodes", "uninstall-a: no proof yet")
	again()
	proofs := map[string]*corev1.Pod{}
	for _, node := range []string{"uninstall-a", "uninstall-b"} {
		proofs[node] = s.pod(uninstall, node)
	}
	s.report(proofs["uninstall-a"], corev1.ConditionTrue)
	s.report(proofs["uninstall-b"], corev1.ConditionFalse, corev1.ContainerStatus{
		Name: "uninstall", Image: testImage, ImageID: testImage, State: corev1.ContainerState{
			Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Message: "sluice: uninstalling: 3 connections were marked meanwhile"},
		},
	})
	s.says(v1alpha1.ConditionDegraded, metav1.ConditionTrue, v1alpha1.ReasonUninstalling, "uninstall-b: uninstall ended with code 1: sluice: uninstalling: 3 connections")
	s.says(v1alpha1.ConditionProgressing, metav1.ConditionTrue, v1alpha1.ReasonUninstalling, "on 1 nodes")
	s.report(proofs["uninstall-b"], corev1.ConditionTrue)

	s.gone(&appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: rbac.Namespace}}, "sluice-uninstall")
	s.says(v1alpha1.ConditionProgressing, metav1.ConditionTrue, v1alpha1.ReasonUninstalling, "pods that uninstalled", "on 2 nodes")
	again()
	for _, pod := range proofs {
		s.end(pod)
	}
	s.nothingLeft()
}

// nothingLeft waits until the Enforcer and all that it came to are gone.
func (s *site) nothingLeft() {
	s.t.Helper()
	s.gone(&v1alpha1.Enforcer{}, theName.Name)
	agents, err := rbac.Agent(rbac.Namespace)
	must(s.t, err)
	for _, object := range agents {
		s.gone(object, object.GetName())
	}
	for _, name := range []string{"sluice", "sluice-uninstall"} {
		s.gone(&appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: rbac.Namespace}}, name)
	}
	s.gone(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: rbac.Namespace}}, "sluice-metrics")
	var left v1alpha1.NodeEnforcerList
	must(s.t, s.List(s.t.Context(), &left))
	if len(left.Items) > 0 {
		s.t.Errorf("%d NodeEnforcers are left", len(left.Items))
	}
}

// TestUninstallBeforeAnything: nodes that never enforced have nothing to prove,
// also where their image does not exist.
func TestUninstallBeforeAnything(t *testing.T) {
	s := newSite(t)
	startOperator(t)
	s.node("never-a")
	s.enforcer(v1alpha1.EnforcerSpec{Image: "registry.example/no-such-image:v1"})
	s.daemonSet("sluice", there)
	must(t, s.Delete(t.Context(), &v1alpha1.Enforcer{ObjectMeta: metav1.ObjectMeta{Name: theName.Name}}))
	s.nothingLeft()
}
