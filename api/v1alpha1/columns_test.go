package v1alpha1_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/test/golden"
	"github.com/sluicenet/sluice/test/kube"
)

// compare compares a text with the golden file that has the given name.
func compare(t *testing.T, name, got string) {
	t.Helper()
	golden.Compare(t, filepath.Join("testdata", name+".golden"), got)
}

// columns compares the output of `kubectl get`, with and without -o wide, with golden
// files.
func columns(t *testing.T, resource, namespace string, names ...string) {
	t.Helper()
	kind := v1alpha1.GroupVersion.WithResource(resource)
	compare(t, resource, server.Get(t, kind, namespace, false, names...))
	compare(t, resource+"-wide", server.Get(t, kind, namespace, true, names...))
}

// store creates an object and writes its status.
func store(t *testing.T, object client.Object, status func()) {
	t.Helper()
	c := server.Client(t)
	if err := c.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.IgnoreNotFound(c.Delete(context.WithoutCancel(t.Context()), object)); err != nil {
			t.Errorf("deleting %s: %v", object.GetName(), err)
		}
	})
	if status == nil {
		return
	}
	status()
	if err := c.Status().Update(t.Context(), object); err != nil {
		t.Fatalf("writing the status of %s: %v", object.GetName(), err)
	}
}

func setAll(conditions *[]metav1.Condition, all ...metav1.Condition) {
	for _, condition := range all {
		meta.SetStatusCondition(conditions, condition)
	}
}

func TestEnforcerColumns(t *testing.T) {
	e := &v1alpha1.Enforcer{
		ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.EnforcerName},
		Spec:       v1alpha1.EnforcerSpec{Image: "registry.example/sluice:v0.1.0"},
	}
	store(t, e, func() {
		e.Status.ObservedGeneration = e.Generation
		e.Status.Nodes = v1alpha1.NodeCounts{Desired: 12, Ready: 11, UpToDate: 12}
		setAll(&e.Status.Conditions,
			v1alpha1.NewCondition(v1alpha1.ConditionAvailable, metav1.ConditionFalse, v1alpha1.ReasonNodesMissing, "node c does not enforce: the dataplane does not respond"),
			v1alpha1.NewCondition(v1alpha1.ConditionProgressing, metav1.ConditionFalse, v1alpha1.ReasonAllNodes, ""),
			v1alpha1.NewCondition(v1alpha1.ConditionDegraded, metav1.ConditionTrue, v1alpha1.ReasonNodesDegraded, "node c"),
		)
	})
	columns(t, "enforcers", "")
}

func TestNodeEnforcerColumns(t *testing.T) {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "columns-a"}}
	store(t, node, nil)
	working := &v1alpha1.NodeEnforcer{ObjectMeta: metav1.ObjectMeta{Name: node.Name}}
	if err := controllerutil.SetControllerReference(node, working, kube.Scheme()); err != nil {
		t.Fatal(err)
	}
	store(t, working, func() {
		working.Status = v1alpha1.NodeEnforcerStatus{
			Published:              &v1alpha1.Generation{Number: 4712, Time: metav1.NowMicro()},
			Acknowledged:           &v1alpha1.Generation{Number: 4711, Time: metav1.NowMicro()},
			Pods:                   v1alpha1.PodCounts{Local: 38, Isolated: 21},
			Policies:               9,
			Tree:                   &v1alpha1.Tree{SizeBytes: 217_416, CompileMicroseconds: 812},
			Verdicts:               v1alpha1.Verdicts{Allowed: 1_204_331, Denied: 877, Unreadable: 3},
			ConnectionsReevaluated: 5120,
			Kernel:                 &v1alpha1.Kernel{Release: "6.18.0", Queueing: v1alpha1.QueueTarget},
		}
		setAll(&working.Status.Conditions,
			v1alpha1.NewCondition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonEnforcing, "the dataplane enforces the published generation"),
			v1alpha1.NewCondition(v1alpha1.ConditionResponding, metav1.ConditionTrue, v1alpha1.ReasonAgentResponding, ""),
			v1alpha1.NewCondition(v1alpha1.ConditionSynced, metav1.ConditionTrue, v1alpha1.ReasonWatching, ""),
			v1alpha1.NewCondition(v1alpha1.ConditionDegraded, metav1.ConditionFalse, v1alpha1.ReasonAsExpected, ""),
		)
	})
	fresh := &v1alpha1.NodeEnforcer{ObjectMeta: metav1.ObjectMeta{Name: "columns-b"}}
	store(t, fresh, func() {
		setAll(&fresh.Status.Conditions,
			v1alpha1.NewCondition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonNoDataplane, "the dataplane does not respond"),
			v1alpha1.NewCondition(v1alpha1.ConditionSynced, metav1.ConditionUnknown, v1alpha1.ReasonNotSyncedYet, ""),
		)
	})
	columns(t, "nodeenforcers", "", "columns-a", "columns-b")
}

func TestPolicyStatusColumns(t *testing.T) {
	namespace := server.Namespace(t)
	policy := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "api"}}
	store(t, policy, nil)
	enforced := &v1alpha1.PolicyStatus{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: policy.Name}}
	if err := controllerutil.SetControllerReference(policy, enforced, kube.Scheme()); err != nil {
		t.Fatal(err)
	}
	store(t, enforced, func() {
		since := metav1.NewTime(time.Now().Add(-25*time.Hour - 30*time.Minute))
		enforced.Status = v1alpha1.EnforcementStatus{
			ObservedGeneration: policy.Generation, Pods: 6, Rules: 2, EnforcedSince: &since,
			Nodes: v1alpha1.PolicyNodes{Needed: 3, Enforcing: 3},
		}
		setAll(&enforced.Status.Conditions,
			v1alpha1.NewCondition(v1alpha1.ConditionEnforced, metav1.ConditionTrue, v1alpha1.ReasonEnforcedEverywhere, "on 3 of 3 nodes"),
			v1alpha1.NewCondition(v1alpha1.ConditionUnderstood, metav1.ConditionTrue, v1alpha1.ReasonAsExpected, ""),
			v1alpha1.NewCondition(v1alpha1.ConditionLintFindings, metav1.ConditionFalse, v1alpha1.ReasonAsExpected, ""),
		)
	})
	faulty := &v1alpha1.PolicyStatus{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "faulty"}}
	store(t, faulty, func() {
		faulty.Status = v1alpha1.EnforcementStatus{
			ObservedGeneration: 3, Pods: 40, Rules: 1,
			Nodes: v1alpha1.PolicyNodes{Needed: 12, Enforcing: 11},
			Findings: []v1alpha1.Finding{{
				Severity: v1alpha1.SeverityError, Check: "not-understood", Field: "spec.ingress[0].ports[0]",
				Message: "endPort 80 is below port 90: write the higher port as endPort",
			}},
		}
		setAll(&faulty.Status.Conditions,
			v1alpha1.NewCondition(v1alpha1.ConditionEnforced, metav1.ConditionFalse, v1alpha1.ReasonWaitingForNodes, "waiting for node c"),
			v1alpha1.NewCondition(v1alpha1.ConditionUnderstood, metav1.ConditionFalse, v1alpha1.ReasonNotUnderstood, "spec.ingress[0].ports[0] allows nothing"),
			v1alpha1.NewCondition(v1alpha1.ConditionLintFindings, metav1.ConditionTrue, v1alpha1.ReasonFindings, ""),
		)
	})
	columns(t, "policystatuses", namespace)
}

func TestClusterPolicyStatusColumns(t *testing.T) {
	enforced := &v1alpha1.ClusterPolicyStatus{ObjectMeta: metav1.ObjectMeta{Name: "columns-rules"}}
	store(t, enforced, func() {
		since := metav1.NewTime(time.Now().Add(-25*time.Hour - 30*time.Minute))
		enforced.Status = v1alpha1.EnforcementStatus{
			ObservedGeneration: 2, Pods: 412, Rules: 4, EnforcedSince: &since,
			Nodes: v1alpha1.PolicyNodes{Needed: 31, Enforcing: 31},
		}
		setAll(&enforced.Status.Conditions,
			v1alpha1.NewCondition(v1alpha1.ConditionEnforced, metav1.ConditionTrue, v1alpha1.ReasonEnforcedEverywhere, "31 of 31 nodes enforce the current version"),
			v1alpha1.NewCondition(v1alpha1.ConditionUnderstood, metav1.ConditionTrue, v1alpha1.ReasonAsExpected, ""),
		)
	})
	columns(t, "clusterpolicystatuses", "", enforced.Name)
}
