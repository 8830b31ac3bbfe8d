package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/config/objects"
	"github.com/sluicenet/sluice/config/rbac"
	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/tree"
	"github.com/sluicenet/sluice/test/cluster"
	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/kube"
	"github.com/sluicenet/sluice/test/process"
)

// TestAgent runs the agent as a process with the credentials of its service account. It
// starts the agent before the API server is reachable, stops the agent with a signal, starts
// it again, kills it, and starts it once more.
func TestAgent(t *testing.T) {
	const node = "agent-node"
	c := server.Client(t)
	namespace := server.Namespace(t)
	create(t, c, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}})
	// Delete the NodeEnforcer, because other tests list all NodeEnforcers.
	t.Cleanup(func() {
		object := &v1alpha1.NodeEnforcer{ObjectMeta: metav1.ObjectMeta{Name: node}}
		withoutFinalizers := client.RawPatch(types.MergePatchType, []byte(`{"metadata": {"finalizers": null}}`))
		for _, err := range []error{
			c.Patch(context.Background(), object, withoutFinalizers), c.Delete(context.Background(), object),
		} {
			if client.IgnoreNotFound(err) != nil {
				t.Error(err)
			}
		}
	})
	web := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "web"},
		Spec:       corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "c", Image: "i"}}},
	}
	create(t, c, web)
	web.Status.Phase, web.Status.PodIP, web.Status.PodIPs = corev1.PodRunning, "10.7.0.1", []corev1.PodIP{{IP: "10.7.0.1"}}
	updateStatus(t, c, web)

	link, config := server.Link(t, agentAccount(t, c, node))
	if err := link.Cut(); err != nil {
		t.Fatal(err)
	}
	a := &agentProcess{t: t, kubeconfig: kubeconfigOf(t, config, ""), node: node, stateDir: t.TempDir()}
	a.start()
	eventually.NoError(t, func() error { return a.healthy("healthz") })
	if err := a.healthy("readyz"); err == nil {
		t.Error("the agent is ready although it has not read any objects")
	}
	if _, err := a.tree(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("opening the tree: %v, want that it does not exist", err)
	}

	if err := link.Restore(); err != nil {
		t.Fatal(err)
	}
	eventually.NoError(t, func() error { return a.healthy("readyz") })
	first := a.verdict(rule.Allow)
	eventually.NoError(t, func() error {
		var written v1alpha1.NodeEnforcer
		if err := c.Get(t.Context(), client.ObjectKey{Name: node}, &written); err != nil {
			return err
		}
		if written.Status.Published == nil {
			return errors.New("no generation in the NodeEnforcer")
		}
		return nil
	})
	a.hasMetrics()
	if code, _, stderr := sluice(cluster.TwoNodes, "compile", "-f", "-", "--node", "n1", "--state-dir", a.stateDir); code != exitWrongInput || !strings.Contains(stderr, "an agent is running") {
		t.Errorf("compile into the agent's state directory: exit %d: %s", code, stderr)
	}
	a.stop()
	if got := a.verdict(rule.Allow); got != first {
		t.Errorf("generation %d after the agent has stopped, %d before", got, first)
	}

	a.start()
	eventually.NoError(t, func() error { return a.healthy("readyz") })
	// The agent can be ready before it has the lock. It publishes when it has the lock.
	second := first
	eventually.True(t, "the second agent publishes", func() bool { second = a.verdict(rule.Allow); return second > first })
	a.Kill()
	create(t, c, &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "deny"}})
	a.start()
	third := a.verdict(rule.Deny)
	if first >= second || second >= third {
		t.Errorf("generations %d, %d, %d: want them to increase", first, second, third)
	}
	a.stop()
}

// agentAccount installs the agent's role. It returns a client configuration with the same
// credentials that a kubelet passes to the agent's pod.
func agentAccount(t *testing.T, c client.Client, node string) *rest.Config {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: rbac.Namespace}}
	if err := client.IgnoreAlreadyExists(c.Create(t.Context(), namespace)); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../../config/rbac/agent/*.yaml")
	if err != nil || files == nil {
		t.Fatalf("no roles: %v", err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		decoded, err := objects.Decode(content)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, object := range decoded {
			create(t, c, object)
		}
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: rbac.Namespace, Name: "sluice-agent"}}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: rbac.Namespace, Name: "test-" + node},
		Spec: corev1.PodSpec{
			NodeName: node, HostNetwork: true, ServiceAccountName: account.Name,
			Containers: []corev1.Container{{Name: "agent", Image: "sluice"}},
		},
	}
	create(t, c, pod)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		BoundObjectRef: &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID},
	}}
	if err := c.SubResource("token").Create(t.Context(), account, request); err != nil {
		t.Fatal(err)
	}
	config := rest.AnonymousClientConfig(server.Config())
	config.BearerToken = request.Status.Token
	return config
}

// agentProcess runs `sluice agent` as a process that can be stopped and started again.
type agentProcess struct {
	t                          *testing.T
	kubeconfig, node, stateDir string
	health, metrics            string

	*process.Process
}

func (a *agentProcess) start() {
	a.t.Helper()
	a.health, a.metrics = kube.FreeAddress(a.t), kube.FreeAddress(a.t)
	a.Process = process.MustStart(a.t, "agent", program("agent", "--kubeconfig", a.kubeconfig, "--node", a.node, "--state-dir", a.stateDir,
		"--health-address", a.health, "--metrics-address", a.metrics, "--metrics-plain"), nil)
}

// stop sends a signal to the agent and checks that its exit code is 0.
func (a *agentProcess) stop() {
	a.t.Helper()
	if err := a.Stop(); err != nil {
		a.t.Error(err)
	}
}

func (a *agentProcess) healthy(path string) error {
	_, err := kube.Fetch("http://" + a.health + "/" + path)
	return err
}

// hasMetrics checks that the agent serves exactly the metrics that docs/reference/metrics.md describes.
func (a *agentProcess) hasMetrics() {
	a.t.Helper()
	got, err := kube.Fetch("http://" + a.metrics + "/metrics")
	if err != nil {
		a.t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/reference/metrics.md")
	if err != nil {
		a.t.Fatal(err)
	}
	documented := map[string]bool{}
	for line := range strings.Lines(string(page)) {
		name, ok := strings.CutPrefix(line, "| `sluice_agent_")
		end := strings.IndexAny(name, "`{ ")
		if !ok || end < 0 {
			continue
		}
		name = "sluice_agent_" + name[:end]
		documented[name] = true
		if !strings.Contains(got, "# TYPE "+name+" ") {
			a.t.Errorf("the agent lacks the metric %s of docs/reference/metrics.md", name)
		}
	}
	if served := strings.Count(got, "# TYPE sluice_agent_"); len(documented) != served {
		a.t.Errorf("the agent has %d metrics, docs/reference/metrics.md documents %d", served, len(documented))
	}
}

func (a *agentProcess) tree() (*tree.Tree, error) {
	return tree.Open(statedir.Current(a.stateDir))
}

// verdict waits until the published tree has the wanted verdict for a connection to the pod
// from an address outside the cluster. It returns the generation of this tree.
func (a *agentProcess) verdict(want rule.Verdict) (generation uint64) {
	a.t.Helper()
	eventually.NoError(a.t, func() error {
		published, err := a.tree()
		if err != nil {
			return err
		}
		defer published.Close()
		generation = published.Generation()
		got := published.Evaluate(flow.Flow{
			Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("10.7.0.1"), Protocol: flow.TCP, SrcPort: 40000, DstPort: 80,
		}).Verdict()
		if got != want {
			return fmt.Errorf("generation %d: %v, want %v", generation, got, want)
		}
		return nil
	})
	return generation
}
