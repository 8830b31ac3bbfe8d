package enforcer_test

import (
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/config/rbac"
)

// TestRejectedPodIsInStatus checks that the status contains the reason for which the API server
// rejects a pod. Only an Event of the DaemonSet controller contains this reason.
func TestRejectedPodIsInStatus(t *testing.T) {
	f := newFixture(t)
	startOperator(t)
	f.createEnforcer(v1alpha1.EnforcerSpec{})
	daemonSet := f.waitForDaemonSet("sluice", exists)
	const reason = `Error creating: pods "sluice-" is forbidden: unable to validate against any security context constraint`
	must(t, f.Create(t.Context(), &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: rbac.Namespace, GenerateName: "sluice-"},
		InvolvedObject: corev1.ObjectReference{APIVersion: "apps/v1", Kind: "DaemonSet", Namespace: rbac.Namespace, Name: daemonSet.Name, UID: daemonSet.UID},
		Type:           corev1.EventTypeWarning, Reason: "FailedCreate", Message: reason, LastTimestamp: metav1.Now(), Count: 1,
	}))
	f.createNode("reject-a")
	f.wantCondition(v1alpha1.ConditionDegraded, metav1.ConditionTrue, v1alpha1.ReasonNodesDegraded, "reject-a: no pod can be created: "+reason)
}

// TestDeadNodeBlocksNoRollout checks that a node that is not Ready does not count towards the
// maximum number of pods that are replaced at the same time. Such a node must make the Enforcer
// neither unavailable nor degraded.
func TestDeadNodeBlocksNoRollout(t *testing.T) {
	f := newFixture(t)
	startOperator(t)
	f.createEnforcer(v1alpha1.EnforcerSpec{})
	f.createNode("dead-a")
	dead := f.createNode("dead-b")
	f.reportEnforcing("dead-a")
	f.setRolledOut(2)
	f.setReady(dead, corev1.ConditionUnknown, time.Now())
	daemonSet := f.waitForDaemonSet("sluice", func(d *appsv1.DaemonSet) error {
		if got := d.Spec.UpdateStrategy.RollingUpdate.MaxSurge.String(); got != "2" {
			return fmt.Errorf("maxSurge is %s, want 2: one for the node that is Ready, and one for the other", got)
		}
		return nil
	})
	if daemonSet.Annotations[appsv1.DeprecatedTemplateGeneration] != "1" {
		t.Error("the template of the DaemonSet changed, so all pods are replaced")
	}
	f.wantCondition(v1alpha1.ConditionAvailable, metav1.ConditionTrue, v1alpha1.ReasonAllNodes, "1 of 2 nodes enforce", "dead-b")
	f.wantCondition(v1alpha1.ConditionDegraded, metav1.ConditionFalse, v1alpha1.ReasonAsExpected)
	f.setReady(dead, corev1.ConditionTrue, time.Now())
	f.waitForDaemonSet("sluice", func(d *appsv1.DaemonSet) error {
		if got := d.Spec.UpdateStrategy.RollingUpdate.MaxSurge.String(); got != "10%" {
			return fmt.Errorf("maxSurge is %s, want 10%%", got)
		}
		return nil
	})
}
