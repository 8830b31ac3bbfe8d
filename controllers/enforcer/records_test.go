package enforcer_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/config/rbac"
	"github.com/sluicenet/sluice/test/eventually"
)

// wantLeft checks that the list record.Left contains exactly the given nodes, with the given
// reasons.
func (f *fixture) wantLeft(reasons map[string]string) {
	f.t.Helper()
	var list corev1.ConfigMap
	must(f.t, f.Get(f.t.Context(), client.ObjectKey{Namespace: rbac.Namespace, Name: "sluice-nodes-left"}, &list))
	if got, want := slices.Sorted(maps.Keys(list.Data)), slices.Sorted(maps.Keys(reasons)); !slices.Equal(got, want) {
		f.t.Errorf("nodes left: %v, want %v", got, want)
	}
	for node, reason := range reasons {
		if text := list.Data[node]; !strings.HasSuffix(text, " "+reason) {
			f.t.Errorf("reason of node %s: %q, want %q", node, text, reason)
		}
	}
}

// enforcingOperator starts an operator, and creates an Enforcer and nodes that enforce policies.
func (f *fixture) enforcingOperator(nodes ...string) map[string]*corev1.Pod {
	f.t.Helper()
	startOperator(f.t)
	f.createEnforcer(edge())
	return f.enforcingNodes(nodes...)
}

// wantProofNeeded checks that the uninstallation waits for the proof of a node. It then provides
// the proof and checks that the uninstallation ends.
func (f *fixture) wantProofNeeded(node string, pod *corev1.Pod) {
	f.t.Helper()
	f.deletePod(pod)
	uninstall := f.waitForDaemonSet(uninstallDaemonSet, exists)
	f.wantCondition(v1alpha1.ConditionProgressing, metav1.ConditionTrue, v1alpha1.ReasonUninstalling, "on 1 nodes: "+node+": no proof yet")
	proof := f.createPod(uninstall, node)
	f.setPodStatus(proof, corev1.ConditionTrue)
	f.wantGone(daemonSets(), uninstallDaemonSet)
	f.deletePod(proof)
}

// TestRecordsSurviveDeleteAll deletes all objects of Sluice at once, as `kubectl delete sluice
// --all` does. It checks that the uninstallation still waits for the proof of each node.
func TestRecordsSurviveDeleteAll(t *testing.T) {
	f := newFixture(t)
	pods := f.enforcingOperator("all-a")
	must(t, f.DeleteAllOf(t.Context(), &v1alpha1.NodeEnforcer{}))
	must(t, f.DeleteAllOf(t.Context(), &v1alpha1.Enforcer{}))
	f.wantProofNeeded("all-a", pods["all-a"])
	f.wantNothingLeft()
}

// TestRecordsOfEarlierAgents checks that the operator adds the finalizer to a NodeEnforcer that an
// earlier version of the agent created.
func TestRecordsOfEarlierAgents(t *testing.T) {
	f := newFixture(t)
	f.enforcingOperator("earlier-a")
	change(f, &v1alpha1.NodeEnforcer{}, "earlier-a", func(n *v1alpha1.NodeEnforcer) { n.Finalizers = nil })
	eventually.NoError(t, func() error {
		var n v1alpha1.NodeEnforcer
		if err := f.Get(t.Context(), client.ObjectKey{Name: "earlier-a"}, &n); err != nil {
			return err
		}
		if !slices.Contains(n.Finalizers, v1alpha1.FinalizerUninstall) {
			return fmt.Errorf("finalizers %v", n.Finalizers)
		}
		return nil
	})
}

// TestRecordOfDeletedNode checks that the NodeEnforcer of a deleted node stays while the node has
// an enforcing pod, and is released after that.
func TestRecordOfDeletedNode(t *testing.T) {
	f := newFixture(t)
	pods := f.enforcingOperator("deleted-a", "deleted-b")
	must(t, f.Delete(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "deleted-a"}}))
	must(t, f.Delete(t.Context(), &v1alpha1.NodeEnforcer{ObjectMeta: metav1.ObjectMeta{Name: "deleted-a"}}))
	f.wantCondition(v1alpha1.ConditionAvailable, metav1.ConditionTrue, v1alpha1.ReasonAllNodes, "1 of 1 nodes enforce")
	must(t, f.Get(t.Context(), client.ObjectKey{Name: "deleted-a"}, &v1alpha1.NodeEnforcer{}))
	f.deletePod(pods["deleted-a"])
	f.wantGone(&v1alpha1.NodeEnforcer{}, "deleted-a")
	must(t, f.Get(t.Context(), client.ObjectKey{Name: "deleted-b"}, &v1alpha1.NodeEnforcer{}))
}

// definition returns a CustomResourceDefinition that has a name but no spec. The `name` parameter
// is the plural name of one of Sluice's kinds.
func definition(name string) *unstructured.Unstructured {
	out := &unstructured.Unstructured{}
	out.SetAPIVersion("apiextensions.k8s.io/v1")
	out.SetKind("CustomResourceDefinition")
	out.SetName(name + "." + v1alpha1.GroupVersion.Group)
	return out
}

// TestInstallationIsKept checks that the API server does not delete the namespace of the operator
// and the definitions of the kinds while an Enforcer exists, and that it deletes them afterwards.
func TestInstallationIsKept(t *testing.T) {
	f := newFixture(t)
	pods := f.enforcingOperator("kept-a")
	needed := []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: rbac.Namespace}},
		definition("enforcers"), definition("nodeenforcers"), definition("policystatuses"),
	}
	for _, object := range needed {
		eventually.NoError(t, func() error {
			err := f.Delete(t.Context(), object, client.DryRunAll)
			if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "kubectl delete enforcer default") {
				return fmt.Errorf("deleting %T %s: %w", object, object.GetName(), errors.Join(err, errors.New("want it denied, with the fix")))
			}
			return nil
		})
	}
	for _, object := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: rbac.Namespace, Name: rbac.Namespace}},
	} {
		if err := f.Delete(t.Context(), object, client.DryRunAll); err != nil && strings.Contains(err.Error(), "kubectl delete enforcer default") {
			t.Errorf("deleting %T %s: %v", object, object.GetName(), err)
		}
	}
	must(t, f.Delete(t.Context(), &v1alpha1.Enforcer{ObjectMeta: metav1.ObjectMeta{Name: enforcerKey.Name}}))
	f.wantProofNeeded("kept-a", pods["kept-a"])
	f.wantNothingLeft()
	for _, object := range needed {
		eventually.NoError(t, func() error { return f.Delete(t.Context(), object, client.DryRunAll) })
	}
}

// TestRecordsSurviveDeletionOfDefinitions deletes the definitions of the kinds, which deletes all
// objects of Sluice. It checks that the uninstallation still waits for the proof of each node.
func TestRecordsSurviveDeletionOfDefinitions(t *testing.T) {
	f := newFixture(t)
	pods := f.enforcingOperator("definition-a")
	guards, err := rbac.Installation(rbac.Namespace)
	must(t, err)
	for _, object := range guards {
		eventually.NoError(t, func() error { return f.Get(t.Context(), client.ObjectKeyFromObject(object), object.DeepCopy()) })
		must(t, f.Delete(t.Context(), object))
	}
	for _, name := range []string{"nodeenforcers", "enforcers"} {
		saved := definition(name)
		must(t, f.Get(t.Context(), client.ObjectKeyFromObject(saved), saved))
		t.Cleanup(func() { f.restore(saved) })
		// The API server may still apply the admission policy for a moment.
		eventually.NoError(t, func() error { return client.IgnoreNotFound(f.Delete(t.Context(), definition(name))) })
	}
	f.wantProofNeeded("definition-a", pods["definition-a"])
	for _, name := range []string{"nodeenforcers", "enforcers"} {
		f.wantGone(definition(name), definition(name).GetName())
	}
}

// restore waits until a definition is deleted. It then creates the definition again, and waits
// until the API server serves the kind.
func (f *fixture) restore(saved *unstructured.Unstructured) {
	f.t.Helper()
	ctx := context.Background()
	again := saved.DeepCopy()
	again.SetResourceVersion("")
	again.SetUID("")
	delete(again.Object, "status")
	eventually.NoError(f.t, func() error { return f.Create(ctx, again.DeepCopy()) })
	served := &metav1.PartialObjectMetadataList{}
	kind, _, _ := unstructured.NestedString(saved.Object, "spec", "names", "listKind")
	served.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	eventually.NoError(f.t, func() error { return f.List(ctx, served) })
}
