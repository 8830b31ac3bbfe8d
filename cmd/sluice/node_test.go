package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/test/cluster"
	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/kube"
	"github.com/sluicenet/sluice/test/lab"
	"github.com/sluicenet/sluice/test/process"
)

// If the environment variable asProgram is set, this test binary behaves like the program
// sluice instead of running tests.
const asProgram = "SLUICE_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(runAs(os.Args[0], os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Unsetenv("KUBERNETES_SERVICE_HOST")
	os.Setenv("KUBECONFIG", "/does/not/exist") // Tests must not use the cluster of the user.
	os.Exit(kube.Main(m, &server))
}

var server *kube.Server

func program(args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	return cmd
}

// onNode is a simulated node with the pods default/web and default/db. Tests run the
// dataplane on this node as a process.
type onNode struct {
	t        *testing.T
	node     *lab.Node
	web, db  *lab.Pod
	stateDir string
}

func newOnNode(t *testing.T) *onNode {
	t.Helper()
	n := &onNode{t: t, stateDir: t.TempDir()}
	l, err := lab.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	if n.node, err = l.AddNode("n2"); err != nil {
		t.Fatal(err)
	}
	if n.web, err = n.node.AddPod("web"); err != nil {
		t.Fatal(err)
	}
	if n.db, err = n.node.AddPod("db"); err != nil {
		t.Fatal(err)
	}
	return n
}

// publish publishes a tree for the manifests in cluster.TwoNodes, but with both pods on one
// node.
func (n *onNode) publish() {
	n.t.Helper()
	text := strings.ReplaceAll(cluster.TwoNodes, "nodeName: n1", "nodeName: n2")
	for old, pod := range map[string]*lab.Pod{"10.0.1.1": n.web, "fd00:1::1": n.web, "10.0.2.1": n.db, "fd00:2::1": n.db} {
		text = strings.Replace(text, old, n.address(pod, old).String(), 1)
	}
	if code, _, stderr := sluice(text, "compile", "-f", "-", "--node", "n2", "--state-dir", n.stateDir); code != exitDone {
		n.t.Fatalf("exit %d: %s", code, stderr)
	}
}

func (n *onNode) address(pod *lab.Pod, like string) netip.Addr {
	n.t.Helper()
	a, ok := pod.Address(netip.MustParseAddr(like))
	if !ok {
		n.t.Fatalf("no address like %s", like)
	}
	return a
}

// dataplane starts the dataplane. If the dataplane exits with an error, the test
// fails and shows its log.
func (n *onNode) dataplane(args ...string) {
	n.t.Helper()
	process.MustStart(n.t, "dataplane", program(append([]string{"dataplane", "--state-dir", n.stateDir}, args...)...), n.node.Start)
}

// status waits until the dataplane reports a status for which meets(status) is true. It returns
// this status.
func (n *onNode) status(what string, meets func(*report.Status) bool) (s report.Status) {
	n.t.Helper()
	eventually.NoError(n.t, func() error {
		code, stdout, stderr := sluice("", "status", "--state-dir", n.stateDir, "-o", "json")
		if code != exitDone {
			return fmt.Errorf("waiting for %s: %s", what, stderr)
		}
		s = report.Status{}
		if err := json.Unmarshal([]byte(stdout), &s); err != nil {
			return fmt.Errorf("reading the status: %w", err)
		}
		if !meets(&s) {
			return fmt.Errorf("waiting for %s: %s", what, stdout)
		}
		return nil
	})
	return s
}

// connect opens a TCP connection from the pod web to a port of the pod db.
func (n *onNode) connect(like string, port uint16) lab.Result {
	n.t.Helper()
	r, err := n.web.Probe(n.t.Context(), flow.TCP, netip.Addr{}, netip.AddrPortFrom(n.address(n.db, like), port), time.Second)
	if err != nil {
		n.t.Fatal(err)
	}
	return r
}

// follow starts the command sluice flows, waits until the command listens, and returns a
// scanner for its output.
func (n *onNode) follow(args ...string) *bufio.Scanner {
	n.t.Helper()
	cmd := program(append([]string{"flows", "--state-dir", n.stateDir}, args...)...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil {
			n.t.Errorf("flows: %v", err)
		}
	})
	if line, err := bufio.NewReader(stderr).ReadString('\n'); err != nil || !strings.HasPrefix(line, "listening") {
		n.t.Fatalf("flows prints %q, %v", line, err)
	}
	return bufio.NewScanner(stdout)
}

func TestDataplaneReports(t *testing.T) {
	n := newOnNode(t)
	n.dataplane("--deny", "Reject", "--queues", "2")
	waiting := n.status("a status without a tree", func(*report.Status) bool { return true })
	if waiting.Generation != 0 || waiting.Queueing == "" || waiting.Held.Limit != 3*time.Second {
		t.Errorf("without a tree: %+v", waiting)
	}
	n.publish()
	s := n.status("generation 1", func(s *report.Status) bool { return s.Generation == 1 })
	if s.Node != "n2" || s.Published != 1 || s.Seen != 1 || s.Pods != 2 || s.IsolatedPods != 1 || s.Queueing == "" || s.Rejected != nil || s.Reevaluated.Walks != 1 {
		t.Errorf("status %+v", s)
	}

	all, denied := n.follow("-o", "json"), n.follow("--denied", "-n", "default", "-c", "1")
	for _, like := range []string{"10.0.0.1", "fd00::1"} {
		if _, err := n.db.Serve(flow.TCP, netip.AddrPortFrom(n.address(n.db, like), 5432)); err != nil {
			t.Fatal(err)
		}
		if got := n.connect(like, 5432); got != lab.Connected {
			t.Errorf("port 5432: %s", got)
		}
		var allowed report.Event
		n.event(all, &allowed)
		if allowed.Verdict != report.Allow || allowed.SrcPod != "default/web" || allowed.DstPod != "default/db" || allowed.DstPort != 5432 ||
			*allowed.Ingress.Policy != "default/db" || *allowed.Ingress.Rule != 0 || allowed.Egress.Reason != "NotIsolated" {
			t.Errorf("event %+v", allowed)
		}
		if got := n.connect(like, 80); got != lab.Rejected {
			t.Errorf("port 80: %s", got)
		}
		var event report.Event
		n.event(all, &event)
		if event.Verdict != report.Deny || event.Ingress.Reason != "NoRuleMatched" || strings.Join(event.Ingress.IsolatedBy, " ") != "default/db" {
			t.Errorf("event %+v", event)
		}
	}
	if !denied.Scan() {
		t.Fatal("no denied flow is shown")
	}
	if want := ":80; egress: no policy isolates it; ingress: no rule of default/db allows it"; !strings.HasSuffix(denied.Text(), want) || !strings.Contains(denied.Text(), "Deny      TCP default/web ") {
		t.Errorf("shown %q, want it to end in %q", denied.Text(), want)
	}
	if denied.Scan() {
		t.Errorf("-c 1 continues with %q", denied.Text())
	}

	s = n.status("verdicts", func(s *report.Status) bool { return s.Verdicts.Packets >= 4 })
	counts := map[string]uint64{}
	for _, c := range s.Verdicts.Sides {
		counts[c.Direction+" "+c.Family+" "+c.Protocol+" "+c.Verdict] = c.Count
	}
	for _, family := range []string{"IPv4", "IPv6"} {
		if counts["ingress "+family+" TCP Allow"] == 0 || counts["ingress "+family+" TCP Deny"] == 0 {
			t.Errorf("counts %v", counts)
		}
	}

	text := n.metrics()
	for _, want := range []string{
		"sluice_dataplane_generation_acknowledged 1\n", "sluice_dataplane_isolated_pods 1\n",
		fmt.Sprintf("sluice_dataplane_verdicts_total{direction=\"ingress\",family=\"IPv4\",protocol=\"TCP\",verdict=\"Deny\"} %d\n", counts["ingress IPv4 TCP Deny"]),
	} {
		if !strings.Contains(text, want) {
			t.Errorf("metrics lack %q", want)
		}
	}

	// The dataplane must reject a tree file that it cannot map.
	if err := os.WriteFile(filepath.Join(n.stateDir, "tree", "2.tree"), []byte("no tree"), 0o644); err != nil {
		t.Fatal(err)
	}
	fresh := filepath.Join(n.stateDir, "tree", "fresh")
	if err := os.Symlink("2.tree", fresh); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(fresh, filepath.Join(n.stateDir, "tree", "current")); err != nil {
		t.Fatal(err)
	}
	s = n.status("the rejection of a tree", func(s *report.Status) bool { return s.Rejected != nil })
	if s.Published != 2 || s.Generation != 1 || !strings.Contains(s.Rejected.Reason, "2.tree") {
		t.Errorf("rejected %+v, published %d, enforced %d", s.Rejected, s.Published, s.Generation)
	}
	n.publish()
	s = n.status("generation 3", func(s *report.Status) bool { return s.Generation == 3 })
	if s.Rejected != nil {
		t.Errorf("still rejected: %+v", s.Rejected)
	}
}

// event reads the next event from the output of sluice flows.
func (n *onNode) event(lines *bufio.Scanner, into *report.Event) {
	n.t.Helper()
	if !lines.Scan() {
		n.t.Fatalf("flows ended: %v", lines.Err())
	}
	if err := json.Unmarshal(lines.Bytes(), into); err != nil {
		n.t.Fatal(err)
	}
}

// metrics reads the metrics through the socket in the state directory.
func (n *onNode) metrics() string {
	n.t.Helper()
	conn, err := net.Dial("unix", filepath.Join(n.stateDir, "dataplane.sock"))
	if err != nil {
		n.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	request, err := http.NewRequestWithContext(n.t.Context(), http.MethodGet, "http://dataplane/metrics", http.NoBody)
	if err != nil {
		n.t.Fatal(err)
	}
	if err := request.Write(conn); err != nil {
		n.t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), request)
	if err != nil {
		n.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		n.t.Fatalf("%s: %v", response.Status, err)
	}
	return string(text)
}

// The dataplane cannot create its socket, because the path of a Unix socket is limited to 107
// bytes.
func TestDataplaneReportsThatItCannotCreateItsSocket(t *testing.T) {
	stateDir := filepath.Join(t.TempDir(), strings.Repeat("x", 120))
	if err := os.Mkdir(stateDir, 0o755); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := sluice("", "dataplane", "--state-dir", stateDir)
	if code != exitFailed || !strings.Contains(stderr, "listen unix "+stateDir) {
		t.Errorf("exit %d: %s", code, stderr)
	}
}

func TestMetricsAddress(t *testing.T) {
	var taken net.Listener
	waits := newOnNode(t)
	if err := waits.node.Do(func() (err error) { taken, err = net.Listen("tcp", "127.0.0.1:9464"); return err }); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	waits.dataplane("--metrics-address", "127.0.0.1:9464")
	waits.status("a status although the address is in use", func(*report.Status) bool { return true })

	n := newOnNode(t)
	n.dataplane("--metrics-address", ":9464")
	n.status("a status", func(*report.Status) bool { return true })
	var conn net.Conn
	if err := n.node.Do(func() (err error) { conn, err = net.Dial("tcp", "127.0.0.1:9464"); return err }); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	for path, want := range map[string]string{"/status": "404", "/metrics": "200"} {
		if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: node\r\n\r\n", path); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		if err != nil || !strings.HasPrefix(response.Status, want) {
			t.Errorf("%s: %s, %v, want %s", path, response.Status, err, want)
		}
	}
}
