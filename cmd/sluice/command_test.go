package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/query"
)

// two is a cluster of two nodes with one pod each, and a policy that lets web
// reach db on TCP 5432.
const two = `
apiVersion: v1
kind: Namespace
metadata: {name: default}
---
apiVersion: v1
kind: Node
metadata: {name: n1}
status: {addresses: [{type: InternalIP, address: 192.168.0.1}]}
---
apiVersion: v1
kind: Node
metadata: {name: n2}
status: {addresses: [{type: InternalIP, address: 192.168.0.2}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec: {nodeName: n1}
status: {phase: Running, podIPs: [{ip: 10.0.1.1}, {ip: "fd00:1::1"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, labels: {app: db}}
spec: {nodeName: n2}
status: {phase: Running, podIPs: [{ip: 10.0.2.1}, {ip: "fd00:2::1"}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 5432}]}]
`

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestEvaluate(t *testing.T) {
	manifests := writeFile(t, "two.yaml", two)
	tests := []struct {
		name, flow, want string
	}{
		{
			"allowed by a rule", `{"src":"10.0.1.1","dst":"10.0.2.1","protocol":"TCP","port":5432}`,
			`{"verdict":"Allow","egress":{"verdict":"Allow","reason":"NotIsolated","policy":null,"rule":null},"ingress":{"verdict":"Allow","reason":"Rule","policy":"default/db","rule":0,"isolatedBy":["default/db"]}}`,
		},
		{
			"the other family", `{"src":"fd00:1::1","dst":"fd00:2::1","protocol":"tcp","port":5432}`,
			`{"verdict":"Allow","egress":{"verdict":"Allow","reason":"NotIsolated","policy":null,"rule":null},"ingress":{"verdict":"Allow","reason":"Rule","policy":"default/db","rule":0,"isolatedBy":["default/db"]}}`,
		},
		{
			"no rule", `{"src":"10.0.1.1","dst":"10.0.2.1","protocol":"UDP","port":5432}`,
			`{"verdict":"Deny","egress":{"verdict":"Allow","reason":"NotIsolated","policy":null,"rule":null},"ingress":{"verdict":"Deny","reason":"NoRuleMatched","policy":null,"rule":null,"isolatedBy":["default/db"]}}`,
		},
		{
			"ICMP has no port", `{"src":"203.0.113.1","dst":"10.0.2.1","protocol":"ICMP"}`,
			`{"verdict":"Deny","egress":{"verdict":"Allow","reason":"External","policy":null,"rule":null},"ingress":{"verdict":"Deny","reason":"NoRuleMatched","policy":null,"rule":null,"isolatedBy":["default/db"]}}`,
		},
		{
			"a protocol by number", `{"src":"10.0.2.1","dst":"203.0.113.1","protocol":47}`,
			`{"verdict":"Allow","egress":{"verdict":"Allow","reason":"NotIsolated","policy":null,"rule":null},"ingress":{"verdict":"Allow","reason":"External","policy":null,"rule":null}}`,
		},
		{
			"S40 the pod's own node", `{"src":"192.168.0.2","dst":"10.0.2.1","protocol":"TCP","port":80}`,
			`{"verdict":"Allow","egress":{"verdict":"Allow","reason":"External","policy":null,"rule":null},"ingress":{"verdict":"Allow","reason":"SameNode","policy":null,"rule":null}}`,
		},
		{
			"S40 another node", `{"src":"192.168.0.1","dst":"10.0.2.1","protocol":"TCP","port":80}`,
			`{"verdict":"Deny","egress":{"verdict":"Allow","reason":"External","policy":null,"rule":null},"ingress":{"verdict":"Deny","reason":"NoRuleMatched","policy":null,"rule":null,"isolatedBy":["default/db"]}}`,
		},
		{
			"S41 itself", `{"src":"10.0.2.1","dst":"10.0.2.1","protocol":"SCTP","port":9,"note":"kept for its writer"}`,
			`{"verdict":"Allow","egress":{"verdict":"Allow","reason":"SamePod","policy":null,"rule":null},"ingress":{"verdict":"Allow","reason":"SamePod","policy":null,"rule":null}}`,
		},
	}
	var flows, want strings.Builder
	for _, test := range tests {
		flows.WriteString(test.flow + "\n")
		want.WriteString(test.want + "\n")
		t.Run(test.name, func(t *testing.T) {
			code, stdout, stderr := sluice(test.flow+"\n", "evaluate", "-f", manifests, "--flows", "-")
			if code != exitDone || stderr != "" {
				t.Fatalf("exit %d: %s", code, stderr)
			}
			if diff := cmp.Diff(test.want+"\n", stdout); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			if !json.Valid([]byte(stdout)) {
				t.Errorf("%s is no JSON", stdout)
			}
		})
	}
	t.Run("lines without a flow", func(t *testing.T) {
		code, stdout, stderr := sluice("\n \t\r\n"+flows.String()+" \n", "evaluate", "-f", manifests, "--flows", "-")
		if code != exitDone || stdout != want.String() {
			t.Errorf("exit %d, %d bytes: %s", code, len(stdout), stderr)
		}
	})
	t.Run("order is kept", func(t *testing.T) {
		path := writeFile(t, "flows.jsonl", strings.Repeat(flows.String(), 200))
		code, stdout, stderr := sluice(two, "evaluate", "-f", "-", "--flows", path)
		if code != exitDone || stdout != strings.Repeat(want.String(), 200) {
			t.Errorf("exit %d, %d bytes: %s", code, len(stdout), stderr)
		}
	})
}

func TestEvaluateWrongFlows(t *testing.T) {
	manifests := writeFile(t, "two.yaml", two)
	const good = `{"src":"10.0.1.1","dst":"10.0.2.1","protocol":"TCP","port":5432}` + "\n"
	tests := map[string]struct{ flow, want string }{
		"no JSON":           {`10.0.0.1 10.0.0.2`, `not a flow: invalid character '.' after top-level value; want {"src":"10.0.0.1","dst":"10.0.0.2","protocol":"TCP","port":80}`},
		"a list":            {`[{"src":"10.0.0.1"}]`, `not a flow: is a list; want {"src":"10.0.0.1","dst":"10.0.0.2","protocol":"TCP","port":80}`},
		"a text":            {`"10.0.0.1"`, `not a flow: is a string; want {"src":"10.0.0.1","dst":"10.0.0.2","protocol":"TCP","port":80}`},
		"no src":            {`{"dst":"10.0.0.2","protocol":"TCP","port":80}`, "src: missing; want an IP address"},
		"no address":        {`{"src":"10.0.0.1","dst":"web","protocol":"TCP","port":80}`, `dst: "web" is not an IP address`},
		"a zone":            {`{"src":"fe80::1%eth0","dst":"fe80::2","protocol":"TCP","port":80}`, `src: "fe80::1%eth0" has a zone; write the address without %eth0`},
		"two families":      {`{"src":"10.0.0.1","dst":"fd00::1","protocol":"TCP","port":80}`, "src 10.0.0.1 and dst fd00::1: one is IPv4 and the other IPv6; a flow has one family"},
		"a mapped address":  {`{"src":"10.0.0.1","dst":"::ffff:10.0.0.2","protocol":"TCP","port":80}`, "src 10.0.0.1 and dst ::ffff:10.0.0.2: one is IPv4 and the other IPv6; a flow has one family"},
		"no protocol":       {`{"src":"10.0.0.1","dst":"10.0.0.2","port":80}`, "protocol: missing; want TCP, UDP, SCTP, ICMP or a number"},
		"unknown protocol":  {`{"src":"10.0.0.1","dst":"10.0.0.2","protocol":"TPC","port":80}`, `protocol "TPC": want TCP, UDP, SCTP, ICMP, ICMPv6 or a number from 0 to 255`},
		"no port":           {`{"src":"10.0.0.1","dst":"10.0.0.2","protocol":"SCTP"}`, "port: missing; SCTP needs the destination port"},
		"port of no number": {`{"src":"10.0.0.1","dst":"10.0.0.2","protocol":"TCP","port":"80"}`, "port: is a string, must be a whole number"},
		"port of a part":    {`{"src":"10.0.0.1","dst":"10.0.0.2","protocol":"TCP","port":80.5}`, "port: is a number 80.5, must be a whole number"},
		"port too large":    {`{"src":"10.0.0.1","dst":"10.0.0.2","protocol":"TCP","port":70000}`, "port: 70000 is not a port; want 0 to 65535"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := sluice(good+"\n"+test.flow+"\n"+good, "evaluate", "-f", manifests, "--flows", "-")
			if want := "standard input:3: " + test.want + "\n"; code != exitWrongInput || stderr != want {
				t.Errorf("exit %d: %s, want exit 2: %s", code, stderr, want)
			}
			if strings.Count(stdout, "\n") != 1 {
				t.Errorf("answers %q, want the one to the line before", stdout)
			}
		})
	}
}

func TestExitCodes(t *testing.T) {
	manifests := writeFile(t, "two.yaml", two)
	broken := writeFile(t, "broken.yaml", "kind: NetworkPolicy\n")
	tests := map[string]struct {
		args []string
		code int
		want string
	}{
		"help":                  {[]string{"--help"}, exitDone, ""},
		"no command":            {nil, exitDone, ""},
		"unknown command":       {[]string{"explian"}, exitWrongInput, `unknown command "explian"; did you mean explain?`},
		"unknown flag":          {[]string{"lint", "--file", "x"}, exitWrongInput, "unknown flag: --file; see sluice lint --help"},
		"an argument":           {[]string{"lint", manifests}, exitWrongInput, `sluice lint takes no argument "` + manifests + `"; see sluice lint --help`},
		"no manifests":          {[]string{"lint"}, exitWrongInput, "no manifests and no cluster: give files, directories or - with -f, or a cluster with --kubeconfig; see sluice lint --help"},
		"no such file":          {[]string{"lint", "-f", "/does/not/exist"}, exitWrongInput, "/does/not/exist: no such file or directory"},
		"a wrong manifest":      {[]string{"matrix", "-f", broken, "--port", "80"}, exitWrongInput, broken + ":1: NetworkPolicy without a name: apiVersion: missing; write apiVersion: networking.k8s.io/v1"},
		"a wrong output":        {[]string{"lint", "-f", manifests, "-o", "yaml"}, exitWrongInput, `invalid argument "yaml" for "-o, --output" flag: want text or json; see sluice lint --help`},
		"no flows":              {[]string{"evaluate", "-f", manifests}, exitWrongInput, "no flows: give a file or - with --flows; see sluice evaluate --help"},
		"both standard input":   {[]string{"evaluate", "-f", "-", "--flows", "-"}, exitWrongInput, "-f - and --flows - cannot both read standard input; put one of them in a file"},
		"no port":               {[]string{"matrix", "-f", manifests}, exitWrongInput, "--port is missing: TCP needs the destination port"},
		"a wrong port":          {[]string{"explain", "-f", manifests, "--from", "web", "--to", "db", "--port", "sql"}, exitWrongInput, "--port sql: want a number from 0 to 65535"},
		"a wrong protocol":      {[]string{"explain", "-f", manifests, "--from", "web", "--to", "db", "--port", "80", "--protocol", "X"}, exitWrongInput, `protocol "X": want TCP, UDP, SCTP, ICMP, ICMPv6 or a number from 0 to 255`},
		"no such pod":           {[]string{"explain", "-f", manifests, "--from", "wbe", "--to", "db", "--port", "80"}, exitWrongInput, "--from wbe: no pod of that name; there are default/db, default/web"},
		"no receiver":           {[]string{"explain", "-f", manifests, "--from", "web", "--port", "80"}, exitWrongInput, "--to is missing: give a pod (name or namespace/name) or an IP address"},
		"neither end is a pod":  {[]string{"explain", "-f", manifests, "--from", "1.2.3.4", "--to", "5.6.7.8", "--port", "80"}, exitWrongInput, "neither 1.2.3.4 nor 5.6.7.8 is the address of a pod, so no policy applies and nothing is evaluated; give a pod (name or namespace/name) or its address for at least one end"},
		"a node and an address": {[]string{"explain", "-f", manifests, "--from", "192.168.0.1", "--to", "5.6.7.8", "--port", "80"}, exitWrongInput, "neither 192.168.0.1 nor 5.6.7.8 is the address of a pod"},
		"no such namespace":     {[]string{"lint", "-f", manifests, "-n", "no-such-namespace"}, exitWrongInput, "--namespace no-such-namespace: no namespace of that name; there are default"},
		"a namespace of pods":   {[]string{"lint", "-f", "testdata/cluster.yaml", "-n", "alice"}, exitDone, ""},
		"both inputs":           {[]string{"explain", "-f", manifests, "--state-dir", "x"}, exitWrongInput, "-f and --state-dir: give one of them"},
		"no node":               {[]string{"compile", "-f", manifests}, exitWrongInput, "--node is missing: give the name of the node to compile for"},
		"no state directory":    {[]string{"compile", "-f", manifests, "--node", "n1"}, exitWrongInput, "--state-dir is missing: give the directory in which to publish the tree"},
		"no such node":          {[]string{"compile", "-f", manifests, "--node", "n3", "--state-dir", t.TempDir()}, exitWrongInput, "--node n3: no Node object has that name, and no pod is bound to it; there are n1, n2"},
		"warnings of lint":      {[]string{"lint", "-f", "testdata/cluster.yaml", "-f", "testdata/two-entries.yaml"}, exitFailed, ""},
		"a state dir to no use": {[]string{"compile", "-f", manifests, "--node", "n1", "--state-dir", filepath.Join(manifests, "dir")}, exitFailed, "sluice: "},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			code, _, stderr := sluice("", test.args...)
			if code != test.code || !strings.HasPrefix(stderr, test.want) || test.want == "" && stderr != "" {
				t.Errorf("exit %d: %s, want exit %d: %s", code, stderr, test.code, test.want)
			}
			if strings.Contains(stderr, "Usage:") {
				t.Errorf("the message drowns in usage: %s", stderr)
			}
		})
	}
}

func TestCompile(t *testing.T) {
	manifests := writeFile(t, "two.yaml", two)
	stateDir := t.TempDir()
	code, stdout, stderr := sluice("", "compile", "-f", manifests, "--node", "n2", "--state-dir", stateDir, "-o", "json")
	if code != exitDone {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	var got query.Publication
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatal(err)
	}
	if got.Node != "n2" || got.Generation == 0 || got.Pods != 1 || got.IsolatedPods != 1 || got.Policies != 1 || got.Bytes == 0 {
		t.Errorf("compiled %+v", got)
	}
	current, err := os.Readlink(filepath.Join(stateDir, "tree", "current"))
	if err != nil {
		t.Fatal(err)
	}

	t.Run("broken manifests publish nothing", func(t *testing.T) {
		broken := writeFile(t, "broken.yaml", two+"---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: x}\nspec: {podSelectr: {}}\n")
		code, _, stderr := sluice("", "compile", "-f", broken, "--node", "n2", "--state-dir", stateDir)
		if code != exitWrongInput || !strings.Contains(stderr, "NetworkPolicy default/x: spec.podSelectr: unknown field") {
			t.Errorf("exit %d: %s", code, stderr)
		}
		if after, err := os.Readlink(filepath.Join(stateDir, "tree", "current")); err != nil || after != current {
			t.Errorf("current is %s (%v), was %s", after, err, current)
		}
	})

	t.Run("and explained from there", func(t *testing.T) {
		code, stdout, stderr := sluice("", "explain", "--state-dir", stateDir, "--from", "10.0.1.1", "--to", "db", "--port", "80")
		want := `Denied: 10.0.1.1 to default/db on TCP port 80, evaluated by node n2

  Egress from 10.0.1.1 is not evaluated: it is not a pod of this node. If it is a pod of another node, that node evaluates its egress.
  Ingress to default/db (10.0.2.1 on n2) is denied: the pod is isolated for ingress, and no rule allows this flow.
    Isolated for ingress by default/db.
    This peer is allowed on other ports (TCP 5432): default/db ingress[0]
`
		if code != exitDone || stdout != want {
			t.Errorf("exit %d: %s\n%s", code, stderr, cmp.Diff(want, stdout))
		}
	})

	t.Run("refused while an agent is running", func(t *testing.T) {
		lock, err := statedir.LockAgent(stateDir)
		if err != nil {
			t.Fatal(err)
		}
		compile := func() (int, string) {
			code, _, stderr := sluice("", "compile", "-f", manifests, "--node", "n2", "--state-dir", stateDir)
			return code, stderr
		}
		if code, stderr := compile(); code != exitWrongInput || !strings.HasPrefix(stderr, "--state-dir "+stateDir+": an agent is running with this directory") {
			t.Errorf("exit %d: %s", code, stderr)
		}
		if after, err := os.Readlink(filepath.Join(stateDir, "tree", "current")); err != nil || after != current {
			t.Errorf("current is %s (%v), was %s", after, err, current)
		}
		if err := lock.Close(); err != nil {
			t.Fatal(err)
		}
		if code, stderr := compile(); code != exitDone {
			t.Errorf("after the agent has ended: exit %d: %s", code, stderr)
		}
	})

	t.Run("in text", func(t *testing.T) {
		code, stdout, stderr := sluice("", "compile", "-f", manifests, "--node", "n1", "--state-dir", t.TempDir())
		if code != exitDone || !strings.HasPrefix(stdout, "generation 1 for node \"n1\": 0 of 1 pod isolated") || strings.Count(stdout, "\n") != 1 {
			t.Errorf("exit %d: %s%s", code, stdout, stderr)
		}
	})
}

// deployment writes n pods of one Deployment.
func deployment(name string, n int, first byte) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `---
apiVersion: v1
kind: Pod
metadata:
  name: %[1]s-abc-%[2]d
  labels: {app: %[1]s, pod-template-hash: abc}
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: %[1]s-abc, uid: x, controller: true}]
status: {phase: Running, podIP: 10.%[3]d.0.%[2]d}
`, name, i+1, first)
	}
	return b.String()
}

func TestExplainFindsAPodThatHasAnAddress(t *testing.T) {
	pending := func(text, address string) string {
		return strings.Replace(text, "status: {phase: Running, podIP: "+address+"}", "status: {phase: Pending}", 1)
	}
	text := two + pending(deployment("api", 3, 5), "10.5.0.1")
	code, stdout, stderr := sluice(text, "explain", "-f", "-", "--from", "api", "--to", "db", "--port", "5432")
	if code != exitDone || !strings.Contains(stdout, "default/api-abc-2 (10.5.0.2)") {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
	t.Run("by its node", func(t *testing.T) {
		text := two + "---\napiVersion: v1\nkind: Pod\nmetadata: {name: agent}\nspec: {nodeName: n1, hostNetwork: true}\n"
		code, stdout, stderr := sluice(text, "explain", "-f", "-", "--from", "agent", "--to", "db", "--port", "80")
		if code != exitDone || !strings.Contains(stdout, "Egress from default/agent (192.168.0.1 on n1) is allowed: the pod is in its node's network") {
			t.Errorf("exit %d: %s%s", code, stdout, stderr)
		}
	})
}

func TestMatrixPutsPodsTogether(t *testing.T) {
	text := two + deployment("api", 3, 5)
	code, stdout, stderr := sluice(text, "matrix", "-f", "-", "--port", "5432", "--address", "203.0.113.7")
	want := `Connections on TCP port 5432, from rows to columns:

                 default/api (3)  default/db  default/web  203.0.113.7
default/api (3)  yes              no          yes          yes
default/db       yes              .           yes          yes
default/web      yes              yes         .            yes
203.0.113.7      yes              no          yes          .
`
	if code != exitDone || stdout != want {
		t.Errorf("exit %d: %s\n%s", code, stderr, cmp.Diff(want, stdout))
	}
	t.Run("unless a policy tells them apart", func(t *testing.T) {
		text := strings.Replace(text, "ports: [{port: 5432}]", "ports: [{port: 5432}]}, {from: [{ipBlock: {cidr: 10.5.0.2/32}}]", 1)
		_, stdout, stderr := sluice(text, "matrix", "-f", "-", "--port", "5432")
		if !strings.Contains(stdout, "default/api-abc-2  yes") || strings.Contains(stdout, "(3)") {
			t.Errorf("%s%s", stdout, stderr)
		}
	})
}

func TestMatrixOfManyPods(t *testing.T) {
	many := func(n int) string {
		text := two
		for i := range n {
			text += strings.ReplaceAll(deployment(fmt.Sprintf("app%d", i), 1, byte(10+i)), "{apiVersion: apps/v1, kind: ReplicaSet, name: app", "{apiVersion: apps/v1, kind: Job, name: app")
		}
		return text
	}
	t.Run("numbered columns", func(t *testing.T) {
		_, stdout, _ := sluice(many(20), "matrix", "-f", "-", "--port", "80")
		if !strings.Contains(stdout, "\n+ allowed, - denied, . not evaluated (the same pod, or no address family in common)\n") {
			t.Error(stdout)
		}
	})
	t.Run("a list", func(t *testing.T) {
		_, stdout, _ := sluice(many(60), "matrix", "-f", "-", "--port", "80")
		if !strings.Contains(stdout, " default/web          allowed to 1-60\n") || !strings.Contains(stdout, " default/db           allowed to all\n") {
			t.Error(stdout)
		}
	})
	t.Run("JSON", func(t *testing.T) {
		_, stdout, _ := sluice(two, "matrix", "-f", "-", "--port", "80", "-o", "json")
		var got query.Matrix
		if err := json.Unmarshal([]byte(stdout), &got); err != nil {
			t.Fatal(err)
		}
		want := []query.MatrixFlow{{From: "default/db", To: "default/web", Verdict: "Allow"}, {From: "default/web", To: "default/db", Verdict: "Deny"}}
		if diff := cmp.Diff(want, got.Flows); diff != "" {
			t.Errorf("flows (-want +got):\n%s", diff)
		}
	})
}

func TestNotes(t *testing.T) {
	text := strings.Replace(two, "kind: Namespace\nmetadata: {name: default}", "kind: Service\nmetadata: {name: default}", 1)
	text = strings.Replace(text, "podSelector: {matchLabels: {app: web}}}", "namespaceSelector: {}}, {ipBlock: {cidr: 10.0.0.0/99}}", 1)
	_, _, stderr := sluice(text, "matrix", "-f", "-", "--port", "80")
	want := `note: skipped kinds that do not affect policies: 1 Service
note: no Namespace object for default: no namespaceSelector matches the pods there
note: policy default/db: spec.ingress[0].from[1].ipBlock.cidr: "10.0.0.0/99" is no CIDR: write an address, a slash and a length, such as 10.0.0.0/8
`
	if diff := cmp.Diff(want, stderr); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
}

// Whoever evaluates what no cluster has run hears that there is nobody to judge.
func TestNoteOfPodsWithoutAddresses(t *testing.T) {
	text := regexp.MustCompile(`(?m)^status: \{phase.*$`).ReplaceAllString(two, "")
	flows := writeFile(t, "flows.jsonl", `{"src":"10.0.1.1","dst":"10.0.2.1","protocol":"TCP","port":80}`)
	_, _, stderr := sluice(text, "evaluate", "-f", "-", "--flows", flows)
	if want := "note: no pod has an address, so every address is an external one\n"; stderr != want {
		t.Errorf("notes %q, want %q", stderr, want)
	}
}

// Every help fits a screen and has an example, also those of the plugin.
func TestHelp(t *testing.T) {
	const lines, columns = 40, 100
	for program, root := range map[string]*cobra.Command{"sluice": rootCommand(), "kubectl-sluice": pluginCommand()} {
		called := strings.ReplaceAll(program, "-", " ") // kubectl calls it so
		for _, args := range helps(root) {
			t.Run(strings.Join(append([]string{program}, args...), " "), func(t *testing.T) {
				code, help, stderr := sluiceAs(program, "", args...)
				if code != exitDone || stderr != "" {
					t.Fatalf("exit %d: %s", code, stderr)
				}
				if n := strings.Count(help, "\n"); n > lines {
					t.Errorf("%d lines, want at most %d", n, lines)
				}
				for line := range strings.Lines(help) {
					if n := utf8.RuneCountInString(line) - 1; n > columns {
						t.Errorf("%d columns, want at most %d: %s", n, columns, line)
					}
				}
				_, after, found := strings.Cut(help, "Examples:\n")
				example, _, _ := strings.Cut(after, "\n\n")
				if !found || !strings.Contains(example, called+" ") {
					t.Errorf("no example of %s:\n%s", called, help)
				}
				if !strings.Contains(help, "Usage:\n  "+called) {
					t.Errorf("usage does not begin with %s:\n%s", called, help)
				}
			})
		}
	}
}

// helps gives the arguments that ask each command for its help.
func helps(root *cobra.Command) [][]string {
	args := [][]string{{"--help"}}
	for _, c := range root.Commands() {
		args = append(args, []string{c.Name(), "--help"})
	}
	return args
}
