package labcluster_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/operator"
	"github.com/sluicenet/sluice/test/labcluster"
)

const patience = time.Minute

// TestPodAsShipped: the processes of a node work with the users, capabilities
// and files of the pod that ships, and leave nothing when they uninstall.
func TestPodAsShipped(t *testing.T) {
	ctx := t.Context()
	c, err := labcluster.New(ctx, labcluster.Options{Program: sluice, Nodes: 1, Spec: v1alpha1.EnforcerSpec{DenyAction: v1alpha1.DenyReject}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	node := c.Node(0)
	const none, netAdmin = "0000000000000000", "0000000000001000"
	for what, tt := range map[string]struct {
		process *labcluster.Process
		want    map[string]string
	}{
		"agent": {node.Agent(), map[string]string{
			"Uid": "65532 65532 65532 65532", "Gid": "65532 65532 65532 65532", "Groups": "", "NoNewPrivs": "1",
			"CapInh": none, "CapPrm": none, "CapEff": none, "CapBnd": none, "CapAmb": none,
		}},
		"dataplane": {node.Dataplane(), map[string]string{
			"Uid": "0 0 0 0", "Gid": "65532 65532 65532 65532", "Groups": "", "NoNewPrivs": "1",
			"CapInh": none, "CapPrm": netAdmin, "CapEff": netAdmin, "CapBnd": netAdmin, "CapAmb": none,
		}},
	} {
		got := statusOf(t, tt.process)
		maps.DeleteFunc(got, func(key, _ string) bool { _, wanted := tt.want[key]; return !wanted })
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("the %s runs with (-want +got):\n%s", what, diff)
		}
		mounts, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", tt.process.PID()))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(mounts)) {
			f := strings.Fields(line)
			if writable := strings.HasPrefix(f[5], "rw"); writable && strings.HasPrefix(f[4], "/mnt") && f[4] != "/mnt/run/sluice" {
				t.Errorf("the %s can write to %s", what, f[4])
			}
		}
	}

	deny := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "deny"}}
	for _, name := range []string{"a", "b"} {
		if err := c.Client().Create(ctx, newPod(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Client().Create(ctx, deny); err != nil {
		t.Fatal(err)
	}
	if err := c.WaitEnforced(ctx); err != nil {
		t.Fatal(err)
	}
	for _, port := range []int{operator.AgentHealthPort, operator.DataplaneHealthPort} {
		for _, path := range []string{"/healthz", "/readyz"} {
			answers(t, node, port, path)
		}
	}
	for _, port := range []int{operator.AgentMetricsPort, operator.DataplaneMetricsPort} {
		answers(t, node, port, "/metrics")
	}
	if out := nft(t, node, "list", "tables"); out != "table inet sluice" {
		t.Errorf("tables %q", out)
	}

	// What an operator does on a node whose Enforcer is deleted.
	for _, p := range []*labcluster.Process{node.Agent(), node.Dataplane()} {
		if err := p.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	if out := nft(t, node, "list", "tables"); out != "table inet sluice" {
		t.Errorf("tables %q after the dataplane has ended, want the rules to stay", out)
	}
	uninstall, err := node.StartUninstall()
	if err != nil {
		t.Fatal(err)
	}
	answers(t, node, operator.DataplaneHealthPort, "/readyz")
	if out := nft(t, node, "list", "tables"); out != "" {
		t.Errorf("left: %s", out)
	}
	if left, err := os.ReadDir(node.StateDir()); err != nil || len(left) > 0 {
		t.Errorf("left in the state directory: %v, %v", left, err)
	}
	if err := uninstall.Stop(); err != nil {
		t.Error(err)
	}
	// The cluster is closed with its processes running.
	for _, start := range []func() error{node.Prepare, node.StartDataplane, node.StartAgent} {
		if err := start(); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.WaitEnforced(ctx); err != nil {
		t.Fatal(err)
	}
}

// statusOf reads what the kernel says about a process.
func statusOf(t *testing.T, p *labcluster.Process) map[string]string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		out[key] = strings.Join(strings.Fields(value), " ")
	}
	return out
}

// answers waits until a process on the node's loopback address says that all is
// well.
func answers(t *testing.T, node *labcluster.Node, port int, path string) {
	t.Helper()
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(_ context.Context, network, address string) (c net.Conn, err error) {
			err = node.Host().Do(func() (err error) { c, err = net.Dial(network, address); return err })
			return c, err
		},
	}}
	last := ""
	for end := time.Now().Add(patience); time.Now().Before(end); <-time.After(20 * time.Millisecond) {
		response, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d%s", port, path))
		if err != nil {
			last = err.Error()
			continue
		}
		body, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if response.StatusCode == http.StatusOK {
			return
		}
		last = fmt.Sprintf("%s: %s", response.Status, body)
	}
	logs := []string{}
	for _, p := range []*labcluster.Process{node.Agent(), node.Dataplane()} {
		logs = append(logs, p.Log())
	}
	t.Fatalf("port %d does not answer %s: %s\n%s", port, path, last, strings.Join(logs, "\n"))
}

// nft runs nft on a node.
func nft(t *testing.T, node *labcluster.Node, args ...string) string {
	t.Helper()
	cmd := exec.Command("nft", args...)
	var out []byte
	err := node.Host().Do(func() (err error) { out, err = cmd.CombinedOutput(); return err })
	if err != nil {
		t.Fatalf("%v: %v (Debian package nftables)\n%s", cmd, err, out)
	}
	lines := slices.Collect(strings.Lines(string(out)))
	return strings.TrimSpace(strings.Join(lines, ""))
}
