package check_test

import (
	"context"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/config/rbac"
	"github.com/sluicenet/sluice/dataplane/report"
)

// TestInstallation checks a complete installation without a problem, and then with one problem at
// a time.
func TestInstallation(t *testing.T) {
	i := install(t)
	i.want(t, "", report.CheckOK, "")
	setCondition := func(t *testing.T, node string, kind v1alpha1.ConditionType, status metav1.ConditionStatus, reason v1alpha1.Reason) {
		edit(t, i, &v1alpha1.NodeEnforcer{ObjectMeta: metav1.ObjectMeta{Name: node}}, true, func(n *v1alpha1.NodeEnforcer) {
			meta.SetStatusCondition(&n.Status.Conditions, v1alpha1.NewCondition(kind, status, reason, "broken"))
		})
	}
	for _, test := range []struct {
		name   string
		fault  func(*testing.T)
		check  string
		result report.CheckResult
		text   string
	}{
		{"a field that this program lacks", func(t *testing.T) {
			edit(t, i, definition("policystatuses.policy.sluice.dev"), false, func(crd *unstructured.Unstructured) {
				versions, _, _ := unstructured.NestedSlice(crd.Object, "spec", "versions")
				_ = unstructured.SetNestedField(versions[0].(map[string]any), "string", "schema", "openAPIV3Schema", "properties", "status", "properties", "future", "type")
				_ = unstructured.SetNestedSlice(crd.Object, versions, "spec", "versions")
			})
		}, "definitions", report.CheckWarning, "policystatuses status.future"},
		{"a missing field", func(t *testing.T) {
			edit(t, i, definition("policystatuses.policy.sluice.dev"), false, func(crd *unstructured.Unstructured) {
				versions, _, _ := unstructured.NestedSlice(crd.Object, "spec", "versions")
				unstructured.RemoveNestedField(versions[0].(map[string]any), "schema", "openAPIV3Schema", "properties", "status", "properties", "rules")
				_ = unstructured.SetNestedSlice(crd.Object, versions, "spec", "versions")
			})
		}, "definitions", report.CheckFailed, "policystatuses status.rules"},
		{"no operator", func(t *testing.T) {
			edit(t, i, &appsv1.Deployment{ObjectMeta: inSystem("sluice-operator")}, true, func(d *appsv1.Deployment) {
				d.Status = appsv1.DeploymentStatus{Replicas: 1}
			})
		}, "operator", report.CheckFailed, "no pod of the operator is available"},
		{"another release", func(t *testing.T) {
			edit(t, i, &appsv1.Deployment{ObjectMeta: inSystem("sluice-operator")}, false, func(d *appsv1.Deployment) {
				d.Spec.Template.Spec.Containers[0].Image = "sluice:0.0.9"
			})
		}, "operator", report.CheckWarning, "image sluice:0.0.9; this program is 0.1.0"},
		{"no rights", func(t *testing.T) {
			i.remove(t, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "sluice-operator"}})
		}, "rights of Sluice", report.CheckFailed, "sluice-operator: "},
		{"several images", func(t *testing.T) {
			edit(t, i, &corev1.Pod{ObjectMeta: inSystem("sluice-node-b")}, false, func(p *corev1.Pod) {
				p.Spec.Containers[0].Image = "sluice:0.0.9"
			})
		}, "images", report.CheckWarning, "1 sluice:0.0.9"},
		{"a pod that waits", func(t *testing.T) {
			edit(t, i, &corev1.Pod{ObjectMeta: inSystem("sluice-operator-1")}, true, func(p *corev1.Pod) {
				p.Status.ContainerStatuses = []corev1.ContainerStatus{{
					Name: "operator", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
				}}
			})
		}, "pods", report.CheckWarning, "sluice-operator-1 on node node-a (operator: CrashLoopBackOff)"},
		{"a rejected pod", func(t *testing.T) {
			i.add(t, &corev1.Event{
				ObjectMeta: inSystem("sluice.1"), Reason: "FailedCreate", Message: "exceeded quota",
				InvolvedObject: corev1.ObjectReference{Kind: "DaemonSet", Namespace: rbac.Namespace, Name: "sluice"},
			})
		}, "admission", report.CheckFailed, "DaemonSet sluice: exceeded quota"},
		{"a restricted namespace", func(t *testing.T) {
			edit(t, i, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: rbac.Namespace}}, false, func(n *corev1.Namespace) {
				n.Labels["pod-security.kubernetes.io/enforce"] = "restricted"
			})
		}, "namespace", report.CheckFailed, "admits only pods of the level restricted"},
		{"a small quota", func(t *testing.T) {
			i.add(t, &corev1.ResourceQuota{ObjectMeta: inSystem("small"), Spec: corev1.ResourceQuotaSpec{
				Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("2")},
			}})
		}, "quota", report.CheckWarning, "ResourceQuota small allows 2 pods"},
		{"a node that does not enforce", func(t *testing.T) {
			setCondition(t, "node-a", v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonNoDataplane)
		}, "node node-a", report.CheckFailed, "Ready is False: NoDataplane: broken"},
		{"an agent that is silent", func(t *testing.T) {
			setCondition(t, "node-b", v1alpha1.ConditionResponding, metav1.ConditionFalse, v1alpha1.ReasonAgentSilent)
		}, "node node-b", report.CheckFailed, "Responding is False: AgentSilent: broken"},
		{"a node that is not synced", func(t *testing.T) {
			setCondition(t, "node-b", v1alpha1.ConditionSynced, metav1.ConditionFalse, v1alpha1.ReasonAPIServerUnreachable)
		}, "node node-b", report.CheckWarning, "Synced is False"},
		{"a node without CNI results", func(t *testing.T) {
			setCondition(t, "node-a", v1alpha1.ConditionPodsKnownEarly, metav1.ConditionFalse, v1alpha1.ReasonNoCNIResults)
		}, "node node-a", report.CheckWarning, "PodsKnownEarly is False"},
		{"a node without a report", func(t *testing.T) {
			i.createNode(t, "node-c")
			t.Cleanup(func() {
				must(t, i.Delete(context.WithoutCancel(t.Context()), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-c"}}))
			})
		}, "node node-c", report.CheckWarning, "it has no NodeEnforcer"},
		{"a selector that matches no node", func(t *testing.T) {
			edit(t, i, &v1alpha1.Enforcer{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.EnforcerName}}, false, func(e *v1alpha1.Enforcer) {
				e.Spec.NodeSelector = map[string]string{"no": "node"}
			})
		}, "Enforcer", report.CheckWarning, "Degraded is True: SelectorMatchesNoNode"},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.fault(t)
			i.want(t, test.check, test.result, test.text)
		})
	}
	i.want(t, "", report.CheckOK, "")
}

// inSystem returns the metadata of an object in the namespace of the operator.
func inSystem(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: rbac.Namespace, Name: name}
}

// definition returns a CRD that contains only its name.
func definition(name string) *unstructured.Unstructured {
	crd := &unstructured.Unstructured{}
	crd.SetAPIVersion("apiextensions.k8s.io/v1")
	crd.SetKind("CustomResourceDefinition")
	crd.SetName(name)
	return crd
}
