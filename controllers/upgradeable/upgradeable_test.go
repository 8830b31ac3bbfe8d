package upgradeable_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/enforcer/installation"
	"github.com/sluicenet/sluice/controllers/upgradeable"
	"github.com/sluicenet/sluice/internal/buildinfo"
	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/kube"
)

var server *kube.Server

func TestMain(m *testing.M) {
	ctrllog.SetLogger(logr.Discard())
	os.Exit(kube.Main(m, &server))
}

const name = "sluice.v0.1.0"

// start creates the OperatorCondition as OLM does, and runs the controller. For the
// OperatorCondition, the controller has only the rights that OLM grants. It can also read the other
// objects that it needs.
func start(t *testing.T, namespace string) {
	t.Helper()
	condition := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"deployments": []any{"sluice-operator"}}}}
	condition.SetGroupVersionKind(upgradeable.Kind)
	condition.SetNamespace(namespace)
	condition.SetName(name)
	must(t, server.Client(t).Create(t.Context(), condition))

	user := "operator-in-" + namespace
	server.Grant(t, user,
		rbacv1.PolicyRule{APIGroups: []string{upgradeable.Kind.Group}, Resources: []string{"operatorconditions"}, ResourceNames: []string{name}, Verbs: []string{"get", "update", "patch"}},
		rbacv1.PolicyRule{APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"enforcers", "nodeenforcers"}, Verbs: []string{"get", "list", "watch"}},
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"namespaces"}, Verbs: []string{"get", "list", "watch"}},
	)
	mgr, err := manager.New(server.User(t, user), manager.Options{
		Scheme: kube.Scheme(), Logger: logr.Discard(), Metrics: metricsserver.Options{BindAddress: "0"},
	})
	must(t, err)
	must(t, upgradeable.SetupWithManager(mgr, upgradeable.Options{
		Namespace: namespace, Name: name, Active: installation.Active(mgr.GetCache(), namespace), Log: logr.Discard(),
	}))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		must(t, <-done)
	})
}

// want waits until the condition Upgradeable has the given status and reason, and its message
// contains the given text.
func want(t *testing.T, namespace string, status metav1.ConditionStatus, reason v1alpha1.Reason, text string) {
	t.Helper()
	eventually.NoError(t, func() error {
		object := &unstructured.Unstructured{}
		object.SetGroupVersionKind(upgradeable.Kind)
		if err := server.Client(t).Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, object); err != nil {
			return err
		}
		conditions, _, err := unstructured.NestedSlice(object.Object, "spec", "conditions")
		if err != nil || len(conditions) != 1 {
			return fmt.Errorf("conditions %v: %w", conditions, err)
		}
		c := conditions[0].(map[string]any)
		if c["type"] != "Upgradeable" || c["status"] != string(status) || c["reason"] != string(reason) || !strings.Contains(c["message"].(string), text) {
			return fmt.Errorf("the condition is %v, want %s with reason %s and %q", c, status, reason, text)
		}
		return nil
	})
}

// TestUpgradeable checks the condition in each state of an installation.
func TestUpgradeable(t *testing.T) {
	_, err := envtest.InstallCRDs(server.Config(), envtest.CRDInstallOptions{Paths: []string{"testdata/operatorconditions.yaml"}})
	must(t, err)
	c, namespace := server.Client(t), server.Namespace(t)
	start(t, namespace)
	want(t, namespace, metav1.ConditionTrue, upgradeable.ReasonNothingInstalled, "no Enforcer exists")

	node := &v1alpha1.NodeEnforcer{ObjectMeta: metav1.ObjectMeta{Name: "left"}}
	must(t, c.Create(t.Context(), node))
	want(t, namespace, metav1.ConditionFalse, upgradeable.ReasonNodesNotClean, "1 nodes may have rules: left")
	must(t, c.Delete(t.Context(), node))
	want(t, namespace, metav1.ConditionTrue, upgradeable.ReasonNothingInstalled, "")

	enforcer := &v1alpha1.Enforcer{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.EnforcerName}}
	must(t, c.Create(t.Context(), enforcer))
	want(t, namespace, metav1.ConditionFalse, upgradeable.ReasonStatusOutdated, "")

	set := func(version string, status metav1.ConditionStatus, reason v1alpha1.Reason, text string) {
		t.Helper()
		enforcer.Status.ObservedGeneration, enforcer.Status.OperatorVersion = enforcer.Generation, version
		condition := v1alpha1.NewCondition(v1alpha1.ConditionProgressing, status, reason, text)
		meta.SetStatusCondition(&enforcer.Status.Conditions, condition)
		must(t, c.Status().Update(t.Context(), enforcer))
	}
	current := buildinfo.Version()
	for _, step := range []struct {
		version     string
		progressing metav1.ConditionStatus
		reason      v1alpha1.Reason
		text        string
		upgradeable metav1.ConditionStatus
		because     v1alpha1.Reason
	}{
		{"0.0.9", metav1.ConditionFalse, v1alpha1.ReasonAllNodes, "", metav1.ConditionFalse, upgradeable.ReasonStatusOutdated},
		{current, metav1.ConditionFalse, v1alpha1.ReasonAllNodes, "2 of 2 nodes", metav1.ConditionTrue, v1alpha1.ReasonAllNodes},
		{current, metav1.ConditionTrue, v1alpha1.ReasonRollingOut, "1 of 2 nodes; blocked by node b", metav1.ConditionFalse, v1alpha1.ReasonRollingOut},
		{current, metav1.ConditionTrue, v1alpha1.ReasonNodesStarting, "on 1 nodes: c", metav1.ConditionTrue, v1alpha1.ReasonNodesStarting},
		{current, metav1.ConditionTrue, v1alpha1.ReasonFreeingNodes, "on 1 nodes: b", metav1.ConditionFalse, v1alpha1.ReasonFreeingNodes},
		{current, metav1.ConditionTrue, v1alpha1.ReasonUninstalling, "waiting for a, b", metav1.ConditionFalse, v1alpha1.ReasonUninstalling},
	} {
		set(step.version, step.progressing, step.reason, step.text)
		text := step.text
		if step.because == upgradeable.ReasonStatusOutdated {
			text = "current spec"
		}
		want(t, namespace, step.upgradeable, step.because, text)
	}

	enforcer.Spec.NodeSelector = map[string]string{"a": "b"}
	must(t, c.Update(t.Context(), enforcer))
	want(t, namespace, metav1.ConditionFalse, upgradeable.ReasonStatusOutdated, "current spec")

	// The namespace "default" exists, so the Enforcer belongs to another installation.
	enforcer.Annotations = map[string]string{v1alpha1.AnnotationInstallation: "default"}
	must(t, c.Update(t.Context(), enforcer))
	want(t, namespace, metav1.ConditionTrue, upgradeable.ReasonOtherInstallation, "")
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
