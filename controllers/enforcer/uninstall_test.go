package enforcer_test

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/config/rbac"
	"github.com/sluicenet/sluice/controllers/enforcer"
)

// TestUninstall checks all steps of an uninstallation. The operator restarts after each
// step.
func TestUninstall(t *testing.T) {
	f := newFixture(t)
	o := startOperator(t)
	again := func() {
		o.stop()
		o = startOperator(t)
	}
	f.createEnforcer(v1alpha1.EnforcerSpec{MarkMask: "0x30000"})
	daemonSet := f.waitForDaemonSet("sluice", exists)
	gone := f.createNode("uninstall-gone")
	pods := map[string]*corev1.Pod{}
	for _, node := range []string{"uninstall-a", "uninstall-b"} {
		f.createNode(node)
		f.reportEnforcing(node)
		pods[node] = f.createPod(daemonSet, node)
	}
	f.reportEnforcing(gone.Name)
	f.createPod(daemonSet, gone.Name)
	f.reportEnforcing("uninstall-removed")
	again()

	must(t, f.Delete(t.Context(), &v1alpha1.Enforcer{ObjectMeta: metav1.ObjectMeta{Name: enforcerKey.Name}}))
	f.wantGone(&appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: rbac.Namespace}}, "sluice")
	f.wantCondition(v1alpha1.ConditionAvailable, metav1.ConditionFalse, v1alpha1.ReasonUninstalling)
	f.wantCondition(v1alpha1.ConditionProgressing, metav1.ConditionTrue, v1alpha1.ReasonUninstalling, "the enforcing pods", "on 3 nodes", "uninstall-a", "uninstall-b", "uninstall-gone")
	again()
	f.deletePod(pods["uninstall-a"])
	f.setReady(gone, corev1.ConditionUnknown, time.Now().Add(-enforcer.NodeGoneTime-time.Minute))
	f.wantCondition(v1alpha1.ConditionProgressing, metav1.ConditionTrue, v1alpha1.ReasonUninstalling, "on 1 nodes", "uninstall-b")
	f.deletePod(pods["uninstall-b"])

	uninstall := f.waitForDaemonSet("sluice-uninstall", exists)
	args := uninstall.Spec.Template.Spec.Containers[0].Args
	if want := "0x30000"; args[len(args)-1] != want {
		t.Errorf("arguments %v, want the mark mask %s", args, want)
	}
	if len(uninstall.OwnerReferences) > 0 {
		t.Errorf("owner %v: it must outlive the deletion of the objects that the Enforcer owns", uninstall.OwnerReferences)
	}
	f.wantCondition(v1alpha1.ConditionProgressing, metav1.ConditionTrue, v1alpha1.ReasonUninstalling, "prove", "on 2 nodes", "uninstall-a: no proof yet")
	again()
	proofs := map[string]*corev1.Pod{}
	for _, node := range []string{"uninstall-a", "uninstall-b"} {
		proofs[node] = f.createPod(uninstall, node)
	}
	f.setPodStatus(proofs["uninstall-a"], corev1.ConditionTrue)
	f.setPodStatus(proofs["uninstall-b"], corev1.ConditionFalse, corev1.ContainerStatus{
		Name: "uninstall", Image: testImage, ImageID: testImage, State: corev1.ContainerState{
			Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Message: "sluice: uninstalling: 3 connections were marked meanwhile"},
		},
	})
	f.wantCondition(v1alpha1.ConditionDegraded, metav1.ConditionTrue, v1alpha1.ReasonUninstalling, "uninstall-b: uninstall ended with code 1: sluice: uninstalling: 3 connections")
	f.wantCondition(v1alpha1.ConditionProgressing, metav1.ConditionTrue, v1alpha1.ReasonUninstalling, "on 1 nodes")
	f.setPodStatus(proofs["uninstall-b"], corev1.ConditionTrue)

	f.wantGone(&appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: rbac.Namespace}}, "sluice-uninstall")
	f.wantCondition(v1alpha1.ConditionProgressing, metav1.ConditionTrue, v1alpha1.ReasonUninstalling, "the uninstalling pods", "on 2 nodes")
	again()
	for _, pod := range proofs {
		f.deletePod(pod)
	}
	f.wantNothingLeft()
	f.wantLeft(map[string]string{
		"uninstall-gone":    "the node was not ready for more than 5m0s",
		"uninstall-removed": "the Node did not exist",
	})
}

// wantNothingLeft waits until the Enforcer and all its objects are gone.
func (f *fixture) wantNothingLeft() {
	f.t.Helper()
	f.wantGone(&v1alpha1.Enforcer{}, enforcerKey.Name)
	agents, err := rbac.Agent(rbac.Namespace)
	must(f.t, err)
	for _, object := range agents {
		f.wantGone(object, object.GetName())
	}
	for _, name := range []string{"sluice", "sluice-uninstall"} {
		f.wantGone(&appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: rbac.Namespace}}, name)
	}
	f.wantGone(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: rbac.Namespace}}, "sluice-metrics")
	var left v1alpha1.NodeEnforcerList
	must(f.t, f.List(f.t.Context(), &left))
	if len(left.Items) > 0 {
		f.t.Errorf("%d NodeEnforcers still exist", len(left.Items))
	}
}

// TestUninstallBeforeNodesEnforced checks that the uninstallation does not wait for proof from
// nodes that never enforced policies. Such nodes may be unable to provide proof. For example, no
// uninstall pod can start if the image does not exist.
func TestUninstallBeforeNodesEnforced(t *testing.T) {
	f := newFixture(t)
	startOperator(t)
	f.createNode("never-a")
	f.createEnforcer(v1alpha1.EnforcerSpec{Image: "registry.example/no-such-image:v1"})
	f.waitForDaemonSet("sluice", exists)
	must(t, f.Delete(t.Context(), &v1alpha1.Enforcer{ObjectMeta: metav1.ObjectMeta{Name: enforcerKey.Name}}))
	f.wantNothingLeft()
}
