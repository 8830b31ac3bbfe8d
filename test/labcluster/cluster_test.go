package labcluster_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/go-logr/logr"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/test/lab"
	"github.com/sluicenet/sluice/test/labcluster"
)

// sluice is the path of the binary for the nodes. TestMain builds the binary once.
var sluice string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctrllog.SetLogger(logr.Discard())
	dir, err := os.MkdirTemp("", "sluice-labcluster-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	sluice = filepath.Join(dir, "sluice")
	if out, err := exec.Command("env", "CGO_ENABLED=0", "go", "build", "-o", sluice, "../../cmd/sluice").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building sluice: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

func newPod(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Labels: map[string]string{"app": name}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "serve", Image: "serve", Ports: []corev1.ContainerPort{{ContainerPort: 80}},
		}}},
	}
}

// TestCluster checks that the lab starts a pod for each Pod object, and that policies apply to
// connections between pods on different nodes.
func TestCluster(t *testing.T) {
	ctx := t.Context()
	c, err := labcluster.New(ctx, labcluster.Options{Program: sluice, Nodes: 2, Spec: v1alpha1.EnforcerSpec{DenyAction: v1alpha1.DenyReject}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	must := func(err error) {
		t.Helper()
		if err != nil {
			c.WriteLogs(t.Output())
			t.Fatal(err)
		}
	}
	for _, name := range []string{"a", "b"} {
		must(c.Client().Create(ctx, newPod(name)))
	}
	must(c.WaitRunning(ctx, "default"))
	want := map[string]lab.Result{"a": lab.Connected, "b": lab.Connected}
	check := func() {
		t.Helper()
		must(c.WaitEnforced(ctx))
		a, err := c.End("default", "a")
		must(err)
		b, err := c.End("default", "b")
		must(err)
		target := labcluster.Target{Protocol: flow.TCP, Port: 80}
		table, err := c.Table(ctx, []labcluster.End{a, b}, []labcluster.Target{target})
		must(err)
		t.Logf("\n%s", table)
		for _, difference := range table.Differences() {
			t.Error(difference)
		}
		for from, to := range map[string]string{"a": "b", "b": "a"} {
			if got, same := table.Got("default/"+from, "default/"+to, target); !same || got != want[to] {
				t.Errorf("from %s to %s: %s", from, to, got)
			}
		}
	}
	check()
	policy := &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "isolate"},
		Spec:       networkingv1.NetworkPolicySpec{PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app": "a"}}},
	}
	must(c.Client().Create(ctx, policy))
	want["a"] = lab.Rejected
	check()
	a := newPod("a")
	must(c.Client().Delete(context.WithoutCancel(ctx), a))
	must(c.WaitGone(ctx, a))
	if c.Pod("default", "a") != nil {
		t.Error("a deleted pod still runs")
	}
}
