package install_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/operator"
	"github.com/sluicenet/sluice/test/eventually"
)

// cluster contains a client, and stands in for the nodes.
type cluster struct {
	client.WithWatch
	t *testing.T
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	return &cluster{server.Client(t), t}
}

// startOperator runs the operator, with the rights that the chart grants, until the test ends or the
// returned function is called.
func startOperator(t *testing.T) (stop func()) {
	t.Helper()
	config := server.Config()
	config.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:" + namespace + ":sluice-operator",
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			// The API server needs some time until the roles of the operator are effective.
			err := operator.Run(ctx, config, operator.Options{
				Namespace: namespace, Image: "registry.example/sluice:test", FaultDelay: 100 * time.Millisecond,
				Registry: prometheus.NewRegistry(), MetricsAddress: "0", HealthAddress: "0", Log: logr.Discard(),
			})
			if err != nil {
				t.Logf("operator: %v", err)
			}
		}
	}()
	stop = func() {
		cancel()
		<-ended
	}
	t.Cleanup(stop)
	return stop
}

// createNode creates a Linux node that is ready.
func (c *cluster) createNode(name string) {
	c.t.Helper()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelOSStable: "linux"}}}
	must(c.t, c.Create(c.t.Context(), node))
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()}}
	must(c.t, c.Status().Update(c.t.Context(), node))
	c.t.Cleanup(func() { must(c.t, c.Delete(context.Background(), node)) })
}

// enforce creates the NodeEnforcer of a node, as the agent of the node does.
func (c *cluster) enforce(name string) {
	c.t.Helper()
	must(c.t, c.Create(c.t.Context(), &v1alpha1.NodeEnforcer{
		ObjectMeta: metav1.ObjectMeta{Name: name, Finalizers: []string{v1alpha1.FinalizerUninstall}},
	}))
}

// daemonSet waits until a DaemonSet exists.
func (c *cluster) daemonSet(name string) *appsv1.DaemonSet {
	c.t.Helper()
	object := &appsv1.DaemonSet{}
	eventually.NoError(c.t, func() error {
		return c.Get(c.t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, object)
	})
	return object
}

// prove creates a ready pod of the DaemonSet sluice-uninstall on a node. Then it waits until the
// operator has deleted the DaemonSet, and deletes the pod, as Kubernetes' garbage collector does.
func (c *cluster) prove(node string) {
	c.t.Helper()
	daemonSet := c.daemonSet("sluice-uninstall")
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: daemonSet.Name + "-" + node, Labels: daemonSet.Spec.Template.Labels,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(daemonSet, appsv1.SchemeGroupVersion.WithKind("DaemonSet"))},
		},
		Spec: *daemonSet.Spec.Template.Spec.DeepCopy(),
	}
	pod.Spec.NodeName, pod.Spec.PriorityClassName = node, ""
	must(c.t, c.Create(c.t.Context(), pod))
	pod.Status.Phase = corev1.PodRunning
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	must(c.t, c.Status().Update(c.t.Context(), pod))
	eventually.NoError(c.t, func() error { return c.gone(daemonSet) })
	must(c.t, c.Delete(c.t.Context(), pod, client.GracePeriodSeconds(0)))
}

// gone returns an error if an object exists.
func (c *cluster) gone(object client.Object) error {
	err := c.Get(c.t.Context(), client.ObjectKeyFromObject(object), object)
	if apierrors.IsNotFound(err) {
		return nil
	}
	return fmt.Errorf("%T %s still exists: %w", object, object.GetName(), err)
}

// enforcer returns the Enforcer.
func (c *cluster) enforcer() *v1alpha1.Enforcer {
	c.t.Helper()
	object := &v1alpha1.Enforcer{}
	must(c.t, c.Get(c.t.Context(), client.ObjectKey{Name: v1alpha1.EnforcerName}, object))
	return object
}

// define installs the CRD of another project's kind, and removes it when the test ends.
func (c *cluster) define(group, kind, plural, scope string) {
	c.t.Helper()
	definition := &unstructured.Unstructured{}
	must(c.t, sigsyaml.Unmarshal([]byte(fmt.Sprintf(`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %[3]s.%[1]s}
spec:
  group: %[1]s
  scope: %[4]s
  names: {kind: %[2]s, plural: %[3]s}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}`, group, kind, plural, scope)), &definition.Object))
	must(c.t, c.Create(c.t.Context(), definition))
	c.t.Cleanup(func() { must(c.t, c.Delete(context.Background(), definition)) })
	eventually.NoError(c.t, func() error {
		objects := &unstructured.UnstructuredList{}
		objects.SetAPIVersion(group + "/v1")
		objects.SetKind(kind + "List")
		return c.List(c.t.Context(), objects)
	})
}
