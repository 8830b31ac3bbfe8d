package labcluster_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/certificate"
	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/lab"
	"github.com/sluicenet/sluice/test/labcluster"
	"github.com/sluicenet/sluice/test/process"
)

const timeout = time.Minute

// TestShippedPod runs the processes of a node and checks that they work with the users,
// capabilities and mounts of the pod that the operator creates. It also checks that the
// uninstallation removes all rules and marks of Sluice, but not the rules and marks of other
// programs.
func TestShippedPod(t *testing.T) {
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
		process *process.Process
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

	nft(t, node, others)
	before := nft(t, node, "-a list table inet others")
	allow := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "allow"}}
	allow.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{}}
	for _, name := range []string{"a", "b"} {
		if err := c.Client().Create(ctx, newPod(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Client().Create(ctx, allow); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.WaitRunning(ctx, "default"), c.WaitEnforced(ctx)); err != nil {
		t.Fatal(err)
	}
	for _, container := range []string{"agent", "dataplane"} {
		for _, path := range []string{"/healthz", "/readyz"} {
			waitHealthy(t, node, container, path)
		}
	}
	for _, path := range []string{"/metrics", "/metrics/dataplane"} {
		waitOK(t, c, node, path)
	}
	if out := nft(t, node, "list tables"); out != "table inet sluice\ntable inet others" {
		t.Errorf("tables %q", out)
	}
	visit(t, c)
	if got := marksOf(t, node); !slices.Contains(got, othersMark|accepted) {
		t.Errorf("connections have marks %#x, want %#x among them", got, othersMark|accepted)
	}

	// Stop the processes and start the uninstall process. The operator does the same when the
	// Enforcer has been deleted.
	for _, p := range []*process.Process{node.Agent(), node.Dataplane()} {
		if err := p.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	if out := nft(t, node, "list tables"); out != "table inet sluice\ntable inet others" {
		t.Errorf("tables %q after the dataplane has ended, want the rules to stay", out)
	}
	uninstall, err := node.StartUninstall()
	if err != nil {
		t.Fatal(err)
	}
	waitHealthy(t, node, "uninstall", "/readyz")
	if diff := cmp.Diff(before, nft(t, node, "-a list ruleset")); diff != "" {
		t.Errorf("table of the other program (-before +after):\n%s", diff)
	}
	if got := marksOf(t, node); !slices.Contains(got, othersMark) || slices.Contains(got, othersMark|accepted) {
		t.Errorf("connections have marks %#x, want %#x without the bit of Sluice", got, othersMark)
	}
	if left, err := os.ReadDir(node.StateDir()); err != nil || len(left) > 0 {
		t.Errorf("the state directory still contains %v, error %v", left, err)
	}
	if err := uninstall.Stop(); err != nil {
		t.Error(err)
	}
	// Start the processes again, to check that Close also stops running processes.
	for _, start := range []func() error{node.Prepare, node.StartDataplane, node.StartAgent} {
		if err := start(); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.WaitEnforced(ctx); err != nil {
		t.Fatal(err)
	}
}

// statusOf returns the fields of the file /proc/PID/status of a process.
func statusOf(t *testing.T, p *process.Process) map[string]string {
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

// waitHealthy waits until a health check of a container succeeds.
func waitHealthy(t *testing.T, node *labcluster.Node, container, path string) {
	t.Helper()
	eventually.NoError(t, func() error {
		if err := node.Health(t.Context(), container, path); err != nil {
			return fmt.Errorf("%s of %s: %w\n%s\n%s", path, container, err, node.Agent().Log(), node.Dataplane().Log())
		}
		return nil
	})
}

// waitOK waits until the agent of a node serves an HTTP path to a user who has the right to read
// metrics.
func waitOK(t *testing.T, c *labcluster.Cluster, node *labcluster.Node, path string) {
	t.Helper()
	token := c.Server().Token(t, "default", "prometheus")
	c.Server().Grant(t, "system:serviceaccount:default:prometheus", rbacv1.PolicyRule{NonResourceURLs: []string{"/metrics"}, Verbs: []string{"get"}})
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	err := eventually.Poll(ctx, func(context.Context) error {
		var object v1alpha1.NodeEnforcer
		if err := c.Client().Get(ctx, client.ObjectKey{Name: node.Name()}, &object); err != nil {
			return err
		}
		published := object.Status.Endpoint
		if published == nil {
			return errors.New("the endpoint is not published")
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("https://127.0.0.1:%d%s", published.Port, path), http.NoBody)
		if err != nil {
			return err
		}
		request.Header.Set("Authorization", "Bearer "+token)
		response, err := pinnedClient(node, published).Do(request)
		if err != nil {
			return err
		}
		body, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", response.Status, body)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("the endpoint does not serve %s: %v\n%s\n%s", path, err, node.Agent().Log(), node.Dataplane().Log())
	}
}

// pinnedClient returns a client on a node. It connects only to a server with the published
// certificate.
func pinnedClient(node *labcluster.Node, published *v1alpha1.NodeEndpoint) *http.Client {
	return &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: certificate.Pinned(published.CertificateSHA256),
		DialContext: func(_ context.Context, network, address string) (c net.Conn, err error) {
			err = node.Host().Do(func() (err error) { c, err = net.Dial(network, address); return err })
			return c, err
		},
	}}
}

// others is a table that another program on the node may install. Its rules set a bit in
// connection marks.
const others = `
table inet others {
	chain forward {
		type filter hook forward priority -150; policy accept;
		ct mark set ct mark | 0x00002000
	}
}
`

// othersMark is the bit that the rules in `others` set. `accepted` is the bit that Sluice sets in
// the marks of accepted connections.
const othersMark, accepted uint32 = 0x2000, 0x20

// visit opens a connection from pod a to pod b. The conntrack entry of the connection exists
// for some time after the connection is closed.
func visit(t *testing.T, c *labcluster.Cluster) {
	t.Helper()
	from, err := c.End("default", "a")
	if err != nil {
		t.Fatal(err)
	}
	to, err := c.End("default", "b")
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range to.Addresses {
		got, err := from.Host.Probe(t.Context(), flow.TCP, netip.Addr{}, netip.AddrPortFrom(address, 80), timeout)
		if err != nil || got != lab.Connected {
			t.Fatalf("from a to b: %s, %v", got, err)
		}
	}
}

// marksOf returns the connection marks of all connections on a node.
func marksOf(t *testing.T, node *labcluster.Node) (out []uint32) {
	t.Helper()
	connections, err := node.Host().Connections()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range connections {
		out = append(out, c.Mark)
	}
	return out
}

// nft runs the program nft on a node and returns its output. If `commands` has more than one line,
// nft reads it as a script. Otherwise, it contains the arguments of nft.
func nft(t *testing.T, node *labcluster.Node, commands string) string {
	t.Helper()
	cmd := exec.Command("nft", strings.Fields(commands)...)
	if strings.Contains(commands, "\n") {
		cmd = exec.Command("nft", "-f", "-")
		cmd.Stdin = strings.NewReader(commands)
	}
	var out []byte
	err := node.Host().Do(func() (err error) { out, err = cmd.CombinedOutput(); return err })
	if err != nil {
		t.Fatalf("%v: %v (Debian package nftables)\n%s", cmd, err, out)
	}
	lines := slices.Collect(strings.Lines(string(out)))
	return strings.TrimSpace(strings.Join(lines, ""))
}
