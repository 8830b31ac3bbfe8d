package bench_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/digest"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/read"
	"github.com/sluicenet/sluice/test/cluster"
	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/kube"
	"github.com/sluicenet/sluice/test/process"
	"github.com/sluicenet/sluice/test/standin"
)

// operatorReady is the maximum time until an operator has written all statuses of a cluster.
const operatorReady = 10 * time.Minute

var policyStatuses = v1alpha1.GroupVersion.WithResource("policystatuses")

// BenchmarkOperatorMemory measures the resident memory and the CPU time of an operator's process
// in a large cluster. The API server is a stand-in, because it would take an hour to fill a real
// one. Pods have about 6 KiB each, and every node reports that it enforces all policies. The
// figure peak-MiB is the maximum, which occurs while the operator writes the first statuses. The
// figure start-s is the time until all statuses are written. The figure restart-s is the time
// until a restarted operator has compared all statuses with the objects.
func BenchmarkOperatorMemory(b *testing.B) {
	size := cluster.Size{Pods: 100_000, Policies: 10_000, Nodes: 1_000}
	if once() {
		size = cluster.Size{Pods: 2_000, Policies: 100, Nodes: 20}
	}
	b.Run(fmt.Sprintf("pods=%d/policies=%d/nodes=%d", size.Pods, size.Policies, size.Nodes), func(b *testing.B) {
		program := buildProgram(b)
		server := standin.New(operatorResources(cluster.NewRealistic(1, size))...)
		kubeconfig := serveStandin(b, server)

		begun := time.Now()
		first := newOperator(b, program, kubeconfig)
		wait(b, func() error {
			if n := server.Writes(policyStatuses); n < 2*int64(size.Policies) {
				return fmt.Errorf("%d writes, want one that creates and one that sets the status for each of %d policies\n%s", n, size.Policies, first.Log())
			}
			return nil
		})
		start := time.Since(begun)
		resident, peak := settledMemory(b, first)
		if err := first.Stop(); err != nil {
			b.Fatal(err)
		}
		written := server.Writes(policyStatuses)
		again := newOperator(b, program, kubeconfig)
		residentAgain, peakAgain := settledMemory(b, again)
		cpu := processorTime(b, again.PID())
		if n := server.Writes(policyStatuses) - written; n != 0 {
			b.Errorf("%d writes after a restart, want 0", n)
		}
		for unit, value := range map[string]float64{
			"resident-MiB": resident / (1 << 20), "peak-MiB": peak / (1 << 20), "start-s": start.Seconds(),
			"restarted-MiB": residentAgain / (1 << 20), "restarted-peak-MiB": peakAgain / (1 << 20), "restart-cpu-s": cpu.Seconds(),
			"writes": float64(written) / float64(size.Policies),
		} {
			b.ReportMetric(value, unit)
		}
		b.ReportMetric(0, "ns/op")
	})
}

// newOperator starts an operator.
func newOperator(b *testing.B, program, kubeconfig string) *process.Process {
	b.Helper()
	health := kube.FreeAddress(b)
	cmd := exec.Command(program, "operator", "--kubeconfig", kubeconfig, "--image", "none", "--metrics-address", "0", "--health-address", health)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	operator := process.MustStart(b, "the operator", cmd, nil)
	wait(b, func() error {
		if _, err := kube.Fetch("http://" + health + "/readyz"); err != nil {
			return fmt.Errorf("the operator is not ready: %w\n%s", err, operator.Log())
		}
		return nil
	})
	return operator
}

func wait(b *testing.B, condition func() error) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), operatorReady)
	defer cancel()
	if err := eventually.Poll(ctx, func(context.Context) error { return condition() }); err != nil {
		b.Fatal(err)
	}
}

// serveStandin serves a stand-in for an API server until the benchmark ends. It returns the path
// of a kubeconfig.
func serveStandin(b *testing.B, handler http.Handler) string {
	b.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server := &http.Server{Handler: handler}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	b.Cleanup(func() {
		_ = server.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			b.Error(err)
		}
	})
	path := filepath.Join(b.TempDir(), "kubeconfig")
	text := fmt.Sprintf(`{"apiVersion": "v1", "kind": "Config", "current-context": "c",
"clusters": [{"name": "c", "cluster": {"server": "http://%s"}}],
"contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}], "users": [{"name": "u", "user": {}}]}`, listener.Addr())
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	return path
}

// operatorResources returns the resources that an operator reads, with the objects of a cluster.
func operatorResources(objects *cluster.Realistic) []standin.Resource {
	named := func(object metav1.Object) { object.SetUID(types.UID(object.GetNamespace() + "/" + object.GetName())) }
	core, networking := corev1.SchemeGroupVersion, networkingv1.SchemeGroupVersion
	for _, p := range objects.Policies() {
		named(p)
		p.Generation, p.CreationTimestamp, p.ResourceVersion = 1, metav1.Unix(1_700_000_000, 0), "1"
	}
	out := []standin.Resource{
		{GroupVersionResource: core.WithResource("pods"), Kind: "Pod", Namespaced: true, Objects: untyped(objects.Pods(), func(pod *corev1.Pod) {
			dress(pod)
			pod.ResourceVersion = "1"
		})},
		{GroupVersionResource: core.WithResource("namespaces"), Kind: "Namespace", Objects: untyped(objects.Namespaces(), func(n *corev1.Namespace) { named(n) })},
		{GroupVersionResource: core.WithResource("nodes"), Kind: "Node", Objects: untyped(objects.Nodes(), func(n *corev1.Node) { named(n) })},
		{GroupVersionResource: networking.WithResource("networkpolicies"), Kind: "NetworkPolicy", Namespaced: true, Objects: untyped(values(objects.Policies()), func(*networkingv1.NetworkPolicy) {})},
		{GroupVersionResource: v1alpha1.GroupVersion.WithResource("nodeenforcers"), Kind: "NodeEnforcer", Objects: untyped(values(nodeEnforcers(objects)), func(*v1alpha1.NodeEnforcer) {})},
		{GroupVersionResource: policyStatuses, Kind: "PolicyStatus", Namespaced: true},
		{GroupVersionResource: v1alpha1.GroupVersion.WithResource("clusterpolicystatuses"), Kind: "ClusterPolicyStatus"},
		{GroupVersionResource: v1alpha1.GroupVersion.WithResource("enforcers"), Kind: "Enforcer"},
	}
	for _, r := range []struct {
		schema.GroupVersion
		resource, kind string
		namespaced     bool
	}{
		{schema.GroupVersion{Group: "apiextensions.k8s.io", Version: "v1"}, "customresourcedefinitions", "CustomResourceDefinition", false},
		{core, "services", "Service", true},
		{core, "serviceaccounts", "ServiceAccount", true},
		{core, "configmaps", "ConfigMap", true},
		{core, "events", "Event", true},
		{schema.GroupVersion{Group: "apps", Version: "v1"}, "daemonsets", "DaemonSet", true},
		{schema.GroupVersion{Group: "coordination.k8s.io", Version: "v1"}, "leases", "Lease", true},
		{schema.GroupVersion{Group: "rbac.authorization.k8s.io", Version: "v1"}, "clusterroles", "ClusterRole", false},
		{schema.GroupVersion{Group: "rbac.authorization.k8s.io", Version: "v1"}, "clusterrolebindings", "ClusterRoleBinding", false},
		{schema.GroupVersion{Group: "rbac.authorization.k8s.io", Version: "v1"}, "roles", "Role", true},
		{schema.GroupVersion{Group: "rbac.authorization.k8s.io", Version: "v1"}, "rolebindings", "RoleBinding", true},
		{schema.GroupVersion{Group: "admissionregistration.k8s.io", Version: "v1"}, "validatingadmissionpolicies", "ValidatingAdmissionPolicy", false},
		{schema.GroupVersion{Group: "admissionregistration.k8s.io", Version: "v1"}, "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", false},
	} {
		out = append(out, standin.Resource{GroupVersionResource: r.WithResource(r.resource), Kind: r.kind, Namespaced: r.namespaced})
	}
	return out
}

func values[T any](list []T) iter.Seq[T] {
	return func(yield func(T) bool) {
		for _, v := range list {
			if !yield(v) {
				return
			}
		}
	}
}

// The function `untyped` converts an iterator to an iterator over runtime.Object. It calls the
// function `change` with each object before it yields the object.
func untyped[T runtime.Object](in iter.Seq[T], change func(T)) iter.Seq[runtime.Object] {
	return func(yield func(runtime.Object) bool) {
		for object := range in {
			change(object)
			if !yield(object) {
				return
			}
		}
	}
}

// nodeEnforcers returns the NodeEnforcers of nodes that enforce all policies.
func nodeEnforcers(objects *cluster.Realistic) (out []*v1alpha1.NodeEnforcer) {
	pods := map[string][]*policy.Pod{}
	for object := range objects.Pods() {
		pod, _ := policy.ReadPod(object)
		pods[pod.Namespace] = append(pods[pod.Namespace], pod)
	}
	enforced := map[string][]digest.Digest{}
	for _, object := range objects.Policies() {
		p, _ := read.NetworkPolicy(object)
		byNode := map[string][]*policy.Pod{}
		for _, pod := range pods[p.Scope] {
			if p.Selects(pod, nil) {
				byNode[pod.Node] = append(byNode[pod.Node], pod)
			}
		}
		for node, selected := range byNode {
			enforced[node] = append(enforced[node], digest.Of(p, selected))
		}
	}
	for node := range objects.Nodes() {
		n := &v1alpha1.NodeEnforcer{ObjectMeta: metav1.ObjectMeta{Name: node.Name, UID: types.UID(node.Name), ResourceVersion: "1"}}
		n.Status.Enforced = digest.Join(enforced[node.Name])
		n.Status.Conditions = []metav1.Condition{v1alpha1.NewCondition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonEnforcing, "the node enforces the published generation")}
		out = append(out, n)
	}
	return out
}
