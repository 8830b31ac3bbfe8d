package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/query/publication"
	"github.com/sluicenet/sluice/test/cluster"
)

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestEvaluate(t *testing.T) {
	const flow = `{"src":"10.0.1.1","dst":"10.0.2.1","protocol":"TCP","port":5432}` + "\n"
	const want = `{"verdict":"Allow",` +
		`"egress":{"verdict":"Allow","reason":"NotIsolated","policy":null,"rule":null},` +
		`"ingress":{"verdict":"Allow","reason":"Rule","policy":"default/db","rule":0,"isolatedBy":["default/db"]}}` + "\n"
	t.Run("flows from standard input", func(t *testing.T) {
		code, stdout, stderr := sluice(flow, "evaluate", "-f", writeFile(t, "two.yaml", cluster.TwoNodes), "--flows", "-")
		if code != exitDone || stderr != "" || stdout != want {
			t.Errorf("exit %d: %s%s", code, stderr, cmp.Diff(want, stdout))
		}
	})
	t.Run("manifests from standard input", func(t *testing.T) {
		code, stdout, stderr := sluice(cluster.TwoNodes, "evaluate", "-f", "-", "--flows", writeFile(t, "flows.jsonl", flow))
		if code != exitDone || stderr != "" || stdout != want {
			t.Errorf("exit %d: %s%s", code, stderr, cmp.Diff(want, stdout))
		}
	})
	t.Run("a line that is not a flow", func(t *testing.T) {
		code, stdout, stderr := sluice(flow+"{}\n"+flow, "evaluate", "-f", writeFile(t, "two.yaml", cluster.TwoNodes), "--flows", "-")
		if code != exitWrongInput || stderr != "standard input:2: src: missing; want an IP address\n" || stdout != want {
			t.Errorf("exit %d: %s%s", code, stderr, cmp.Diff(want, stdout))
		}
	})
}

func TestExitCodes(t *testing.T) {
	manifests := writeFile(t, "two.yaml", cluster.TwoNodes)
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
		"a wrong output":        {[]string{"lint", "-f", manifests, "-o", "xml"}, exitWrongInput, `invalid argument "xml" for "-o, --output" flag: want text, wide, json, yaml or sarif; see sluice lint --help`},
		"a wrong severity":      {[]string{"lint", "-f", manifests, "--fail-on", "info"}, exitWrongInput, `invalid argument "info" for "--fail-on" flag: want error, warning, note or never; see sluice lint --help`},
		"no such check":         {[]string{"lint", "-f", manifests, "--ignore", "no-dns,dns"}, exitWrongInput, "--ignore dns: no check of that name"},
		"fail on errors only":   {[]string{"lint", "-f", "testdata/cluster.yaml", "-f", "testdata/two-entries.yaml", "--fail-on", "error"}, exitDone, ""},
		"ignore the warnings":   {[]string{"lint", "-f", "testdata/cluster.yaml", "-f", "testdata/two-entries.yaml", "--ignore", "two-dashes"}, exitDone, ""},
		"no flows":              {[]string{"evaluate", "-f", manifests}, exitWrongInput, "no flows: give a file or - with --flows; see sluice evaluate --help"},
		"wrong failure policy":  {[]string{"dataplane", "--failure-policy", "Maybe"}, exitWrongInput, `invalid argument "Maybe" for "--failure-policy" flag: want Closed or Open; see sluice dataplane --help`},
		"both standard input":   {[]string{"evaluate", "-f", "-", "--flows", "-"}, exitWrongInput, "-f - and --flows - cannot both read standard input; put one of them in a file"},
		"no port":               {[]string{"matrix", "-f", manifests}, exitWrongInput, "--port is missing: TCP needs the destination port"},
		"a wrong port":          {[]string{"explain", "-f", manifests, "--from", "web", "--to", "db", "--port", "sql"}, exitWrongInput, "--port sql: want a number from 0 to 65535"},
		"a wrong protocol":      {[]string{"explain", "-f", manifests, "--from", "web", "--to", "db", "--port", "80", "--protocol", "X"}, exitWrongInput, `protocol "X": want TCP, UDP, SCTP, ICMP, ICMPv6 or a number from 0 to 255`},
		"no such pod":           {[]string{"explain", "-f", manifests, "--from", "wbe", "--to", "db", "--port", "80"}, exitWrongInput, "--from wbe: no pod of that name; there are default/db, default/web"},
		"no receiver":           {[]string{"explain", "-f", manifests, "--from", "web", "--port", "80"}, exitWrongInput, "--to is missing: give a pod (name or namespace/name), a workload (such as deploy/web) or an IP address"},
		"neither end is a pod":  {[]string{"explain", "-f", manifests, "--from", "1.2.3.4", "--to", "5.6.7.8", "--port", "80"}, exitWrongInput, "neither 1.2.3.4 nor 5.6.7.8 is the address of a pod, so no policy applies and nothing is evaluated; give a pod (name or namespace/name) or its address for at least one end"},
		"a node and an address": {[]string{"explain", "-f", manifests, "--from", "192.168.0.1", "--to", "5.6.7.8", "--port", "80"}, exitWrongInput, "neither 192.168.0.1 nor 5.6.7.8 is the address of a pod"},
		"no such namespace":     {[]string{"lint", "-f", manifests, "-n", "no-such-namespace"}, exitWrongInput, "--namespace no-such-namespace: no namespace of that name; there are default"},
		"no namespace to show":  {[]string{"matrix", "-f", manifests, "--port", "80", "-n", "shop"}, exitWrongInput, "--namespace shop: no namespace of that name; there are default"},
		"a namespace of pods":   {[]string{"lint", "-f", "testdata/cluster.yaml", "-n", "alice"}, exitDone, ""},
		"both inputs":           {[]string{"explain", "-f", manifests, "--state-dir", "x"}, exitWrongInput, "-f cannot be used with --state-dir"},
		"no published tree":     {[]string{"explain", "--state-dir", "/does/not/exist", "--from", "web", "--to", "db", "--port", "80"}, exitWrongInput, "finding the current tree: readlink /does/not/exist/tree/current: no such file or directory; give the state directory of a running agent or of sluice compile\n"},
		"no node":               {[]string{"compile", "-f", manifests}, exitWrongInput, "--node is missing: give the name of the node to compile for"},
		"no state directory":    {[]string{"compile", "-f", manifests, "--node", "n1"}, exitWrongInput, "--state-dir is missing: give the directory in which to publish the tree"},
		"no such node":          {[]string{"compile", "-f", manifests, "--node", "n3", "--state-dir", t.TempDir()}, exitWrongInput, "--node n3: no Node object has that name, and no pod is bound to it; there are n1, n2"},
		"warnings of lint":      {[]string{"lint", "-f", "testdata/cluster.yaml", "-f", "testdata/two-entries.yaml"}, exitFailed, ""},
		"an unusable directory": {[]string{"compile", "-f", manifests, "--node", "n1", "--state-dir", filepath.Join(manifests, "dir")}, exitFailed, "sluice: "},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			code, _, stderr := sluice("", test.args...)
			if code != test.code || !strings.HasPrefix(stderr, test.want) || test.want == "" && stderr != "" {
				t.Errorf("exit %d: %s, want exit %d: %s", code, stderr, test.code, test.want)
			}
			if strings.Contains(stderr, "Usage:") {
				t.Errorf("the message includes the usage: %s", stderr)
			}
		})
	}
}

func TestCompile(t *testing.T) {
	manifests := writeFile(t, "two.yaml", cluster.TwoNodes)
	stateDir := t.TempDir()
	code, stdout, stderr := sluice("", "compile", "-f", manifests, "--node", "n2", "--state-dir", stateDir, "-o", "json")
	if code != exitDone {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	var got publication.Publication
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

	t.Run("invalid manifests publish nothing", func(t *testing.T) {
		broken := writeFile(t, "broken.yaml", cluster.TwoNodes+"---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: x}\nspec: {podSelectr: {}}\n")
		code, _, stderr := sluice("", "compile", "-f", broken, "--node", "n2", "--state-dir", stateDir)
		if code != exitWrongInput || !strings.Contains(stderr, "NetworkPolicy default/x: spec.podSelectr: unknown field") {
			t.Errorf("exit %d: %s", code, stderr)
		}
		if after, err := os.Readlink(filepath.Join(stateDir, "tree", "current")); err != nil || after != current {
			t.Errorf("current is %s (%v), was %s", after, err, current)
		}
	})

	t.Run("explain in the published tree", func(t *testing.T) {
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

	t.Run("rejected while an agent is running", func(t *testing.T) {
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

func TestNotes(t *testing.T) {
	text := strings.Replace(cluster.TwoNodes, "kind: Namespace\nmetadata: {name: default}", "kind: ConfigMap\nmetadata: {name: default}", 1)
	text = strings.Replace(text, "podSelector: {matchLabels: {app: web}}}", "namespaceSelector: {}}, {ipBlock: {cidr: 10.0.0.0/99}}", 1)
	_, _, stderr := sluice(text, "matrix", "-f", "-", "--port", "80")
	want := `note: skipped kinds that do not affect policies: 1 ConfigMap
note: no Namespace object for default: no namespaceSelector matches the pods there
note: policy default/db: spec.ingress[0].from[1].ipBlock.cidr: "10.0.0.0/99" is not a CIDR: write an address, a slash and a length, such as 10.0.0.0/8
`
	if diff := cmp.Diff(want, stderr); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
}

func TestNoteOfPodsWithoutAddresses(t *testing.T) {
	text := regexp.MustCompile(`(?m)^status: \{phase.*$`).ReplaceAllString(cluster.TwoNodes, "")
	flows := writeFile(t, "flows.jsonl", `{"src":"10.0.1.1","dst":"10.0.2.1","protocol":"TCP","port":80}`)
	_, _, stderr := sluice(text, "evaluate", "-f", "-", "--flows", flows)
	if want := "note: no pod has an address, so every address is an external one\n"; stderr != want {
		t.Errorf("notes %q, want %q", stderr, want)
	}
}
