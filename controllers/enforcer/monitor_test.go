package enforcer_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/config/rbac"
	"github.com/sluicenet/sluice/test/eventually"
)

// serviceMonitors returns a definition of the kind ServiceMonitor that accepts any fields.
func serviceMonitors() *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": "servicemonitors.monitoring.coreos.com"},
		"spec": map[string]any{
			"group": "monitoring.coreos.com", "scope": "Namespaced",
			"names": map[string]any{"plural": "servicemonitors", "singular": "servicemonitor", "kind": "ServiceMonitor", "listKind": "ServiceMonitorList"},
			"versions": []any{map[string]any{
				"name": "v1", "served": true, "storage": true,
				"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
			}},
		},
	}}
}

// TestServiceMonitor checks that the operator creates the ServiceMonitor for the nodes' metrics if
// the cluster serves this kind, and that the operator deletes it with the Enforcer.
func TestServiceMonitor(t *testing.T) {
	f := newFixture(t)
	definition := serviceMonitors()
	must(t, f.Create(t.Context(), definition))
	t.Cleanup(func() { f.check(f.Delete(context.Background(), serviceMonitors())) })
	monitor := &unstructured.Unstructured{}
	monitor.SetGroupVersionKind(schema.GroupVersionKind{Group: "monitoring.coreos.com", Version: "v1", Kind: "ServiceMonitor"})
	key := client.ObjectKey{Namespace: rbac.Namespace, Name: "sluice-metrics"}
	eventually.NoError(t, func() error {
		err := f.Get(t.Context(), key, monitor)
		if client.IgnoreNotFound(err) != nil || err == nil {
			return errors.Join(err, errors.New("the kind is not served yet"))
		}
		return nil
	})
	o := startOperator(t)
	f.createEnforcer(v1alpha1.EnforcerSpec{})
	eventually.NoError(t, func() error { return f.Get(t.Context(), key, monitor) })
	endpoints, _, _ := unstructured.NestedSlice(monitor.Object, "spec", "endpoints")
	var scraped []any
	for _, e := range endpoints {
		scraped = append(scraped, e.(map[string]any)["scheme"], e.(map[string]any)["path"])
	}
	if diff := cmp.Diff([]any{"https", "/metrics", "https", "/metrics/dataplane"}, scraped); diff != "" {
		t.Errorf("scraped (-want +got):\n%s", diff)
	}
	o.stop()
	unstructured.RemoveNestedField(monitor.Object, "spec", "endpoints")
	must(t, f.Update(t.Context(), monitor))
	startOperator(t)
	eventually.NoError(t, func() error {
		if err := f.Get(t.Context(), key, monitor); err != nil {
			return err
		}
		if endpoints, _, _ := unstructured.NestedSlice(monitor.Object, "spec", "endpoints"); len(endpoints) != 2 {
			return fmt.Errorf("endpoints %v", endpoints)
		}
		return nil
	})
	must(t, f.Delete(t.Context(), &v1alpha1.Enforcer{ObjectMeta: metav1.ObjectMeta{Name: enforcerKey.Name}}))
	f.wantNothingLeft()
	f.wantGone(monitor, key.Name)
}

// TestApplyErrorIsInStatus checks that the status contains the error for an object that cannot
// be applied, and that all other objects are applied.
func TestApplyErrorIsInStatus(t *testing.T) {
	f := newFixture(t)
	// This DaemonSet has the name of the enforcing DaemonSet, but selects other pods. The
	// operator cannot change its selector, because selectors are immutable.
	stranger := f.foreignDaemonSet("sluice")
	must(t, f.Create(t.Context(), stranger))
	startOperator(t)
	f.createEnforcer(v1alpha1.EnforcerSpec{})
	f.wantCondition(v1alpha1.ConditionDegraded, metav1.ConditionTrue, v1alpha1.ReasonApplyFailed, "applying DaemonSet sluice-system/sluice", "field is immutable")
	f.wantService()
	must(t, f.Delete(t.Context(), stranger))
	f.wantCondition(v1alpha1.ConditionDegraded, metav1.ConditionFalse, v1alpha1.ReasonAsExpected)
}
