package check_test

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/check"
	"github.com/sluicenet/sluice/config/objects"
	"github.com/sluicenet/sluice/config/rbac"
	"github.com/sluicenet/sluice/controllers/operator"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/live"
	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/kube"
)

const release = "0.1.0"

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// installation is a cluster in which config/default is applied and an operator runs. The test
// writes what the kubelets, the DaemonSet controller and the agents would write.
type installation struct {
	client.Client
	connection *live.Connection
}

// install installs Sluice on two nodes.
func install(t *testing.T) *installation {
	t.Helper()
	ctrllog.SetLogger(logr.Discard())
	i := &installation{Client: server.Client(t), connection: connect(t)}
	i.applyDefault(t)
	i.startOperator(t)
	must(t, i.Create(t.Context(), &v1alpha1.Enforcer{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.EnforcerName}}))
	network := daemonSet("kube-flannel-ds", "flannel/flannel:v0.27")
	network.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "flannel"}}
	network.Spec.Template.Labels = network.Spec.Selector.MatchLabels
	must(t, i.Create(t.Context(), &network))

	var d appsv1.Deployment
	must(t, i.Get(t.Context(), system("sluice-operator"), &d))
	d.Status = appsv1.DeploymentStatus{Replicas: 1, ReadyReplicas: 1, AvailableReplicas: 1}
	must(t, i.Status().Update(t.Context(), &d))
	i.createPod(t, "sluice-operator-1", "node-a", d.Spec.Template)
	var agents appsv1.DaemonSet
	eventually.NoError(t, func() error { return i.Get(t.Context(), system("sluice"), &agents) })
	for _, name := range []string{"node-a", "node-b"} {
		i.createNode(t, name)
		i.createPod(t, "sluice-"+name, name, agents.Spec.Template)
		i.createReport(t, name)
	}
	eventually.NoError(t, func() error {
		if err := i.Get(t.Context(), system("sluice"), &agents); err != nil {
			return err
		}
		agents.Status = appsv1.DaemonSetStatus{
			ObservedGeneration: agents.Generation, DesiredNumberScheduled: 2, CurrentNumberScheduled: 2,
			NumberReady: 2, NumberAvailable: 2, UpdatedNumberScheduled: 2,
		}
		return i.Status().Update(t.Context(), &agents)
	})
	return i
}

// system returns the key of an object in the namespace of the operator.
func system(name string) client.ObjectKey {
	return client.ObjectKey{Namespace: rbac.Namespace, Name: name}
}

// connect returns a connection with all rights.
func connect(t *testing.T) *live.Connection {
	t.Helper()
	config, path := server.Config(), filepath.Join(t.TempDir(), "kubeconfig")
	must(t, clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"here": {Server: config.Host, CertificateAuthorityData: config.CAData}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"me": {ClientCertificateData: config.CertData, ClientKeyData: config.KeyData}},
		Contexts:       map[string]*clientcmdapi.Context{"here": {Cluster: "here", AuthInfo: "me"}},
		CurrentContext: "here",
	}, path))
	c, err := live.Connect(live.Options{Kubeconfig: path})
	must(t, err)
	return c
}

// applyDefault applies config/default.
func (i *installation) applyDefault(t *testing.T) {
	t.Helper()
	root, err := kube.ProjectRoot()
	must(t, err)
	command := exec.CommandContext(t.Context(), "go", "tool", "-modfile=hack/tools/go.mod", "kustomize", "build", "config/default")
	command.Dir = root
	text, err := command.Output()
	must(t, err)
	decoded, err := objects.Decode(text)
	must(t, err)
	for _, object := range decoded {
		must(t, i.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(object), client.FieldOwner("kubectl"), client.ForceOwnership))
	}
}

// startOperator runs an operator until the test ends. In this test no agent renews its Lease, so
// SilenceTimeout is longer than the test.
func (i *installation) startOperator(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- operator.Run(ctx, server.Config(), operator.Options{
			Namespace: rbac.Namespace, Image: "sluice:" + release, SilenceTimeout: time.Hour,
			MetricsAddress: "0", HealthAddress: "0", Registry: prometheus.NewRegistry(), Log: logr.Discard(),
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("operator: %v", err)
		}
	})
}

func (i *installation) createNode(t *testing.T, name string) {
	t.Helper()
	n := node(name, "6.12.0", map[string]string{corev1.LabelOSStable: "linux"})
	status := n.Status
	status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	must(t, i.Create(t.Context(), &n))
	n.Spec.Taints = nil
	must(t, i.Update(t.Context(), &n))
	n.Status = status
	must(t, i.Status().Update(t.Context(), &n))
}

// createPod creates a pod that is ready.
func (i *installation) createPod(t *testing.T, name, node string, template corev1.PodTemplateSpec) {
	t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: rbac.Namespace, Name: name, Labels: template.Labels}, Spec: *template.Spec.DeepCopy(),
	}
	pod.Spec.NodeName, pod.Spec.PriorityClassName = node, ""
	must(t, i.Create(t.Context(), pod))
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}
	must(t, i.Status().Update(t.Context(), pod))
}

// createReport creates the NodeEnforcer of a node without a problem.
func (i *installation) createReport(t *testing.T, name string) {
	t.Helper()
	n := &v1alpha1.NodeEnforcer{ObjectMeta: metav1.ObjectMeta{Name: name, Finalizers: []string{v1alpha1.FinalizerUninstall}}}
	must(t, i.Create(t.Context(), n))
	n.Status.Kernel = &v1alpha1.Kernel{Release: "6.12.0", Queueing: v1alpha1.QueueExpression}
	for _, c := range []metav1.Condition{
		v1alpha1.NewCondition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonEnforcing, "enforcing"),
		v1alpha1.NewCondition(v1alpha1.ConditionResponding, metav1.ConditionTrue, v1alpha1.ReasonAgentResponding, "responding"),
		v1alpha1.NewCondition(v1alpha1.ConditionSynced, metav1.ConditionTrue, v1alpha1.ReasonWatching, "watching"),
		v1alpha1.NewCondition(v1alpha1.ConditionDegraded, metav1.ConditionFalse, v1alpha1.ReasonAsExpected, "as expected"),
		v1alpha1.NewCondition(v1alpha1.ConditionPodsKnownEarly, metav1.ConditionTrue, v1alpha1.ReasonCNIResults, "CNI results"),
	} {
		c.LastTransitionTime = metav1.Now()
		n.Status.Conditions = append(n.Status.Conditions, c)
	}
	must(t, i.Status().Update(t.Context(), n))
}

// want waits until the check with the given name has the given result and its field Seen contains
// the given text. All other checks must be ok. If the name is empty, all checks must be ok.
func (i *installation) want(t *testing.T, name string, result report.CheckResult, text string) {
	t.Helper()
	eventually.NoError(t, func() error {
		facts, err := check.Read(t.Context(), i.connection, release, rbac.Namespace)
		if err != nil {
			return err
		}
		checks := check.Checks(facts)
		for _, c := range checks {
			want := report.CheckOK
			if c.Name == name {
				want = result
			}
			if c.Result != want || c.Name == name && !strings.Contains(c.Seen, text) {
				return fmt.Errorf("%+v, want %s %q", c, want, text)
			}
		}
		if name != "" && !slices.ContainsFunc(checks, func(c report.Check) bool { return c.Name == name }) {
			return fmt.Errorf("there is no check %s", name)
		}
		return nil
	})
}

// edit changes an object or its status, and restores it when the test ends.
func edit[T client.Object](t *testing.T, i *installation, object T, status bool, change func(T)) {
	t.Helper()
	update := func(ctx context.Context, change func(T)) {
		eventually.NoError(t, func() error {
			if err := i.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
				return err
			}
			change(object)
			if status {
				return i.Status().Update(ctx, object)
			}
			return i.Update(ctx, object)
		})
	}
	var before client.Object
	update(t.Context(), func(object T) {
		before = object.DeepCopyObject().(client.Object)
		change(object)
	})
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		must(t, i.Get(ctx, client.ObjectKeyFromObject(object), object))
		before.SetResourceVersion(object.GetResourceVersion())
		if status {
			must(t, i.Status().Update(ctx, before))
		} else {
			must(t, i.Update(ctx, before))
		}
	})
}

// add creates an object, and deletes it when the test ends.
func (i *installation) add(t *testing.T, object client.Object) {
	t.Helper()
	must(t, i.Create(t.Context(), object))
	t.Cleanup(func() { must(t, i.Delete(context.WithoutCancel(t.Context()), object, client.GracePeriodSeconds(0))) })
}

// remove deletes an object, and creates it again when the test ends.
func (i *installation) remove(t *testing.T, object client.Object) {
	t.Helper()
	must(t, i.Get(t.Context(), client.ObjectKeyFromObject(object), object))
	must(t, i.Delete(t.Context(), object))
	t.Cleanup(func() {
		object.SetResourceVersion("")
		object.SetUID("")
		must(t, i.Create(context.WithoutCancel(t.Context()), object))
	})
}
