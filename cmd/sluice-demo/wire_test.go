package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sluicenet/sluice/cmd/sluice-demo/internal/wire"
	"github.com/sluicenet/sluice/test/process"
	"github.com/sluicenet/sluice/test/stage"
)

// binary is the path of the program sluice-demo, and sluice is the path of the program
// sluice. TestMain builds both programs once.
var binary, sluice string

func TestMain(m *testing.M) {
	os.Exit(build(m))
}

func build(m *testing.M) int {
	dir, err := os.MkdirTemp("", "sluice-demo-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary, sluice = filepath.Join(dir, "sluice-demo"), filepath.Join(dir, "sluice")
	err = errors.Join(process.Build(binary, "cmd/sluice-demo"), process.Build(sluice, "cmd/sluice"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// runDemo runs the demo until it ends and returns its output.
func runDemo(t *testing.T, stdin string, args ...string) (stdout string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("sluice-demo: %v\n%s%s", err, &errs, &out)
	}
	return out.String()
}

func runJSON(t *testing.T, stdin string, args ...string) *wire.Report {
	t.Helper()
	var r wire.Report
	if err := json.Unmarshal([]byte(runDemo(t, stdin, append(args, "-o", "json")...)), &r); err != nil {
		t.Fatal(err)
	}
	if !r.Agree {
		t.Error("results and policies differ")
	}
	return &r
}

// expectedByPage contains the results that the Kubernetes page on NetworkPolicy describes for
// its example policies, applied to the pods of the demo. If several lines match a connection,
// the last of these lines applies. Connections from a pod's own node are always allowed
// (S40).
const expectedByPage = `
	any              -> any allowed
	any              -> default/db            denied
	default/frontend -> default/db TCP 6379   allowed
	myproject/client -> default/db TCP 6379   allowed
	172.17.0.10      -> default/db TCP 6379   allowed
	any              -> no-ingress/web        denied
	any              -> sealed/web            denied
	node             -> any                   allowed
	default/db       -> any                   denied
	default/db       -> 10.0.0.10 TCP 5978    allowed
	no-egress/web    -> any                   denied
	sealed/web       -> any                   denied
`

func TestExampleOnTheWire(t *testing.T) {
	r := runJSON(t, "")
	wantRound(t, r.Rounds[0], expectedByPage)
	if len(r.Rounds) != 3 {
		t.Fatalf("%d rounds, want the first and two changes", len(r.Rounds))
	}
	const dnsIsFrontend = expectedByPage + `
		default/dns -> default/db TCP 6379 allowed
	`
	wantRound(t, r.Rounds[1], dnsIsFrontend)
	wantRound(t, r.Rounds[2], dnsIsFrontend+`
		any  -> default/dns      denied
		any  -> default/frontend denied
		node -> default/*        allowed
	`)
	for i, round := range r.Rounds {
		if want := uint64(i + 1); round.Generation != want {
			t.Errorf("round %d has generation %d, want %d", i, round.Generation, want)
		}
	}
	if r.Packets.Queued == 0 || r.Packets.Queued > r.Packets.All/2 {
		t.Errorf("%d of %d packets were queued", r.Packets.Queued, r.Packets.All)
	}
	// If a second packet arrives before the dataplane has sent the verdict for the first
	// packet, the second packet is queued too.
	if d := r.Download; d == nil || d.Packets.Queued > 2 || d.Packets.All < 100*d.Packets.Queued {
		t.Errorf("download: %+v, want only its first packet queued", d)
	}
}

// wantRound compares every result of a round with the expected results in the `lines`
// parameter. The expected results were derived by hand from the text of the policies. In a line,
// the name "node" stands for the node.
func wantRound(t *testing.T, r *wire.Round, lines string) {
	t.Helper()
	all := stage.Expectations(t, lines)
	families := map[bool]int{}
	name := strings.NewReplacer("the node", "node")
	for _, c := range r.Connections {
		families[c.Dst.Is4()]++
		f := connectionFlow(t, &c)
		want := stage.Last(t, all, name.Replace(c.From), name.Replace(c.To), f.Protocol, f.DstPort)
		if (c.Wire == "connected") != want.Allowed {
			t.Errorf("%s: %s -> %s %s %d (%s): %s, want %s", r.Command, c.From, c.To, c.Protocol, c.Port, c.Dst, c.Wire, want.Line)
		}
	}
	if families[true] == 0 || families[false] == 0 {
		t.Errorf("connections by IPv4: %d, by IPv6: %d", families[true], families[false])
	}
}

const ports = `
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: shop}}
---
apiVersion: v1
kind: Pod
metadata: {name: api, namespace: shop, labels: {app: api}}
spec: {containers: [{name: c, image: i, ports: [{name: web, containerPort: 8080}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: old, namespace: shop, labels: {app: api}}
spec: {containers: [{name: c, image: i, ports: [{name: web, containerPort: 8000}]}]}
status: {phase: Running, podIPs: [{ip: 10.1.2.3}, {ip: "fd77::3"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: six, namespace: shop, labels: {app: six}}
spec: {containers: [{name: c, image: i}]}
status: {phase: Running, podIPs: [{ip: "fd77::6"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: job, namespace: shop, labels: {app: api}}
spec: {containers: [{name: c, image: i}]}
status: {phase: Succeeded, podIPs: [{ip: 10.1.2.3}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: api, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  policyTypes: [Ingress]
  ingress:
  - from: [{podSelector: {matchLabels: {app: six}}}]
    ports: [{port: web}]
  - from: [{ipBlock: {cidr: "2001:db8:1::/48", except: ["2001:db8:1:2::/64"]}}]
    ports: [{port: 8000, endPort: 8080}, {port: 53, protocol: UDP}]
`

// TestPortsAndIPv6OnTheWire runs the demo with named ports, a port range, UDP and IPv6
// blocks, and with a pod that has only one address.
func TestPortsAndIPv6OnTheWire(t *testing.T) {
	r := runJSON(t, ports, "-f", "-")
	const isolated = `
		any            -> any                        allowed
		any            -> shop/api                   denied
		any            -> shop/old                   denied
		shop/six       -> shop/api TCP 8080          allowed
		shop/six       -> shop/old TCP 8000          allowed
		2001:db8:1::a  -> any                        allowed
		2001:db8:1::a  -> any ICMPv6                 denied
		any            -> shop/six                   allowed
		node           -> any                        allowed
	`
	wantRound(t, r.Rounds[0], isolated)
	wantRound(t, r.Rounds[1], "any -> any allowed")
	wantRound(t, r.Rounds[2], isolated)
	if len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "shop/job") {
		t.Errorf("notes: %q, want one about the finished pod", r.Notes)
	}
	for _, c := range r.Rounds[0].Connections {
		if c.To == "shop/old" && c.Dst.Is4() && c.Dst != netip.MustParseAddr("10.1.2.3") {
			t.Errorf("shop/old was given %s, want its own address", c.Dst)
		}
	}
}

const protocols = `
apiVersion: v1
kind: Pod
metadata: {name: gateway, labels: {app: gateway}}
spec: {containers: [{name: c, image: i}]}
---
apiVersion: v1
kind: Pod
metadata: {name: peer, labels: {app: peer}}
spec: {containers: [{name: c, image: i}]}
---
apiVersion: v1
kind: Pod
metadata: {name: friend, labels: {app: friend}}
spec: {containers: [{name: c, image: i}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: gateway}
spec:
  podSelector: {matchLabels: {app: gateway}}
  policyTypes: [Ingress]
  ingress:
  - from: [{podSelector: {matchLabels: {app: peer}}}]
    ports: [{port: 3868, protocol: SCTP}]
  - from: [{podSelector: {matchLabels: {app: friend}}}]
`

// A rule for an SCTP port must not allow UDP or ping. Only a rule without ports
// allows ping (S35, S36).
func TestSCTPAndPingOnTheWire(t *testing.T) {
	r := runJSON(t, protocols, "-f", "-", "--port", "3868/SCTP", "--port", "3868/UDP", "--port", "ping")
	wantRound(t, r.Rounds[0], `
		any            -> any                       allowed
		any            -> default/gateway           denied
		default/peer   -> default/gateway SCTP 3868 allowed
		default/friend -> default/gateway           allowed
		node           -> default/gateway           allowed
	`)
	tried := map[string]int{}
	for _, c := range r.Rounds[0].Connections {
		tried[c.Protocol]++
	}
	for _, protocol := range []string{"SCTP", "UDP", "ICMP", "ICMPv6"} {
		if tried[protocol] == 0 {
			t.Errorf("no connection by %s", protocol)
		}
	}
}

func TestPageIsReadableWhenPiped(t *testing.T) {
	page := runDemo(t, "")
	if strings.ContainsRune(page, '\x1b') || strings.ContainsRune(page, '\r') {
		t.Error("the page has control characters")
	}
	for line := range strings.Lines(page) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 100 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	for _, want := range []string{
		"isolated by default/test-network-policy",
		"allowed by default/test-network-policy, spec.ingress[0]",
		"no rule allows it",
		"UDP 53, SCTP 3868, ping",
		"right peer, wrong port: allowed on TCP 6379 (default/test-network-policy, spec.ingress[0])",
		"Results and policies agree for all",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not contain %q:\n%s", want, page)
		}
	}
}

func TestWrongInput(t *testing.T) {
	for _, args := range [][]string{
		{"--port", "http"},
		{"--timeout", "0s"},
		{"-f", "no-such-file.yaml"},
		{"-o", "yaml"},
		{"--example", "none"},
	} {
		err := exec.CommandContext(t.Context(), binary, args...).Run()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 2 {
			t.Errorf("%v: %v, want exit code 2", args, err)
		}
	}
}
