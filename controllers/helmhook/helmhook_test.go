package helmhook_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/enforcer/record"
	"github.com/sluicenet/sluice/controllers/helmhook"
)

// hook is an Uninstaller whose log is recorded. No operator runs, so its timeout is short.
type hook struct {
	helmhook.Uninstaller
	log bytes.Buffer
}

func newHook(t *testing.T) *hook {
	t.Helper()
	c, err := helmhook.NewClient(server.Config())
	must(t, err)
	h := &hook{Uninstaller: helmhook.Uninstaller{Client: c, Namespace: server.Namespace(t), Timeout: 10 * time.Millisecond}}
	h.Log = funcr.New(func(_, args string) { fmt.Fprintln(&h.log, args) }, funcr.Options{})
	return h
}

// createEnforcer creates the Enforcer of an installation. Because of its finalizer, the Enforcer
// still exists after a deletion.
func createEnforcer(t *testing.T, installation string) *v1alpha1.Enforcer {
	t.Helper()
	c := server.Client(t)
	enforcer := &v1alpha1.Enforcer{ObjectMeta: metav1.ObjectMeta{
		Name: v1alpha1.EnforcerName, Finalizers: []string{v1alpha1.FinalizerUninstall},
		Annotations: map[string]string{v1alpha1.AnnotationInstallation: installation},
	}}
	must(t, c.Create(t.Context(), enforcer))
	t.Cleanup(func() { remove(t, c, enforcer) })
	return enforcer
}

// createRecord creates the NodeEnforcer of a node.
func createRecord(t *testing.T, node string) {
	t.Helper()
	c := server.Client(t)
	record := &v1alpha1.NodeEnforcer{ObjectMeta: metav1.ObjectMeta{Name: node}}
	must(t, c.Create(t.Context(), record))
	t.Cleanup(func() { remove(t, c, record) })
}

// remove removes the finalizers of an object and deletes the object.
func remove(t *testing.T, c client.Client, object client.Object) {
	t.Helper()
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"metadata": {"finalizers": null}}`))
	must(t, client.IgnoreNotFound(c.Patch(context.Background(), object, patch)))
	must(t, client.IgnoreNotFound(c.Delete(context.Background(), object)))
}

// wants checks that an error contains all texts.
func wants(t *testing.T, err error, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("the error is %v, want %q in it", err, text)
		}
	}
}

// TestTimeoutNamesNodes checks that the error after the timeout names the nodes that may still have
// rules, and describes what the operator waits for.
func TestTimeoutNamesNodes(t *testing.T) {
	h, c := newHook(t), server.Client(t)
	enforcer := createEnforcer(t, h.Namespace)
	for _, node := range []string{"b", "a", "proved"} {
		createRecord(t, node)
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: h.Namespace, Name: "proof", Labels: map[string]string{
			"app.kubernetes.io/name": "sluice", "app.kubernetes.io/component": "uninstall",
		}},
		Spec: corev1.PodSpec{NodeName: "proved", Containers: []corev1.Container{{Name: "uninstall", Image: "sluice"}}},
	}
	must(t, c.Create(t.Context(), pod))
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	must(t, c.Status().Update(t.Context(), pod))

	wants(t, h.Run(t.Context()), "after 10ms, these nodes may still have rules: a, b. ", "check that the Deployment sluice-operator is available")
	must(t, c.Get(t.Context(), client.ObjectKeyFromObject(enforcer), enforcer))
	if enforcer.DeletionTimestamp == nil {
		t.Error("the Enforcer is not deleted")
	}
	enforcer.Status.Conditions = []metav1.Condition{
		v1alpha1.NewCondition(v1alpha1.ConditionProgressing, metav1.ConditionTrue, v1alpha1.ReasonUninstalling, "waiting for a and b"),
		v1alpha1.NewCondition(v1alpha1.ConditionDegraded, metav1.ConditionTrue, v1alpha1.ReasonUninstalling, "a cannot pull the image"),
	}
	for i := range enforcer.Status.Conditions {
		enforcer.Status.Conditions[i].LastTransitionTime = metav1.Now()
	}
	must(t, c.Status().Update(t.Context(), enforcer))
	wants(t, h.Run(t.Context()), "waiting for a and b. Problems: a cannot pull the image")
}

// TestAnotherInstallation checks that the Enforcer of another installation stays.
func TestAnotherInstallation(t *testing.T) {
	h := newHook(t)
	enforcer := createEnforcer(t, "elsewhere")
	wants(t, h.Run(t.Context()), "belongs to the installation in namespace elsewhere")
	must(t, h.Client.Get(t.Context(), client.ObjectKeyFromObject(enforcer), enforcer))
	if enforcer.DeletionTimestamp != nil {
		t.Error("the Enforcer of another installation is deleted")
	}
}

// TestRulesWithoutEnforcer checks that a node with rules is an error even if there is no Enforcer.
func TestRulesWithoutEnforcer(t *testing.T) {
	h := newHook(t)
	must(t, h.Run(t.Context()))
	createRecord(t, "orphan")
	wants(t, h.Run(t.Context()), "there is no Enforcer, but these nodes may still have rules: orphan")
}

// TestNodesLeftAreLogged checks that the log names the nodes in the ConfigMap sluice-nodes-left.
func TestNodesLeftAreLogged(t *testing.T) {
	h := newHook(t)
	left := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: h.Namespace, Name: record.LeftName}, Data: map[string]string{"node-7": "abandoned"}}
	must(t, server.Client(t).Create(t.Context(), left))
	must(t, h.Run(t.Context()))
	if log := h.log.String(); !strings.Contains(log, `"node"="node-7" "reason"="abandoned"`) {
		t.Errorf("the log does not name node-7:\n%s", log)
	}
}

// TestUpdateDefinitions checks that a changed CustomResourceDefinition is updated, and that its labels
// then contain the version.
func TestUpdateDefinitions(t *testing.T) {
	c, err := helmhook.NewClient(server.Config())
	must(t, err)
	definition := &unstructured.Unstructured{}
	definition.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
	key := client.ObjectKey{Name: "nodeenforcers.policy.sluice.dev"}
	must(t, c.Get(t.Context(), key, definition))
	versions := definition.Object["spec"].(map[string]any)["versions"].([]any)
	columns := versions[0].(map[string]any)["additionalPrinterColumns"].([]any)
	versions[0].(map[string]any)["additionalPrinterColumns"] = columns[:1]
	must(t, c.Update(t.Context(), definition))

	must(t, helmhook.UpdateDefinitions(t.Context(), c, "9.9.9", logr.Discard()))
	must(t, c.Get(t.Context(), key, definition))
	versions = definition.Object["spec"].(map[string]any)["versions"].([]any)
	if got := versions[0].(map[string]any)["additionalPrinterColumns"].([]any); len(got) != len(columns) {
		t.Errorf("%d columns, want %d", len(got), len(columns))
	}
	if got := definition.GetLabels()["app.kubernetes.io/version"]; got != "9.9.9" {
		t.Errorf("the version in the labels is %q", got)
	}
}
