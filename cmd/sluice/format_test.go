package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/sluicenet/sluice/test/cluster"
)

// document contains the fields that each JSON and YAML document has.
type document struct{ APIVersion, Kind string }

// TestFormats checks the output of each command in each of its formats.
func TestFormats(t *testing.T) {
	manifests := writeFile(t, "two.yaml", cluster.TwoNodes)
	flows := writeFile(t, "flows", `{"src":"10.0.1.1","dst":"10.0.2.1","protocol":"TCP","port":80}`)
	for kind, test := range map[string]struct {
		args []string
		// wide is a part of the output in the format wide that is not in the format text. It is "" if
		// the command does not have this format.
		wide string
	}{
		"Explanation":  {[]string{"explain", "-f", manifests, "--from", "web", "--to", "db", "--port", "80"}, "Denied"},
		"Matrix":       {[]string{"matrix", "-f", manifests, "--port", "80"}, "default/db"},
		"LintReport":   {[]string{"lint", "-f", manifests}, "SEVERITY  CHECK"},
		"DecisionList": {[]string{"evaluate", "-f", manifests, "--flows", flows}, "ISOLATED FOR INGRESS BY"},
		"NodeStatus":   {[]string{"status", "--node", "node-0", "--kubeconfig", observed(t, 1, 0)}, "Enforcing generation 7"},
		"Versions":     {[]string{"version"}, "client  development"},
		"Publication":  {[]string{"compile", "-f", manifests, "--node", "n1", "--state-dir", t.TempDir()}, ""},
	} {
		t.Run(kind, func(t *testing.T) {
			inJSON, inYAML := outputOf(t, append(test.args, "-o", "json")), outputOf(t, append(test.args, "-o", "yaml"))
			var first, second document
			if err := json.Unmarshal([]byte(inJSON), &first); err != nil {
				t.Errorf("%v: %s", err, inJSON)
			}
			if err := yaml.Unmarshal([]byte(inYAML), &second); err != nil || strings.HasPrefix(inYAML, "{") {
				t.Errorf("%v: %s", err, inYAML)
			}
			want := document{"query.sluice.dev/v1alpha1", kind}
			if first != want || second != want {
				t.Errorf("JSON %v and YAML %v, want %v", first, second, want)
			}
			formats := "text, wide, json or yaml"
			if test.wide == "" {
				formats = "text, json or yaml"
			} else if wide := outputOf(t, append(test.args, "-o", "wide")); !strings.Contains(wide, test.wide) {
				t.Errorf("wide:\n%s", wide)
			}
			if kind == "LintReport" {
				formats = "text, wide, json, yaml or sarif"
			} else if kind == "DecisionList" {
				formats = "jsonl, text, wide, json or yaml"
			}
			code, stdout, stderr := sluice("", append(test.args, "-o", "xml")...)
			message := `invalid argument "xml" for "-o, --output" flag: want ` + formats + "; see "
			if code != exitWrongInput || stdout != "" || !strings.HasPrefix(stderr, message) {
				t.Errorf("exit %d: %s, want %s", code, stderr, message)
			}
		})
	}
}

// outputOf returns the output of a command that succeeds.
func outputOf(t *testing.T, args []string) string {
	t.Helper()
	code, stdout, stderr := sluice("", args...)
	if code != exitDone {
		t.Fatalf("%v: exit %d: %s", args, code, stderr)
	}
	return stdout
}

// TestFormatsOfFlows checks that each event is a separate document.
func TestFormatsOfFlows(t *testing.T) {
	kubeconfig := observed(t, 2, 0)
	flows := func(format string) []string {
		code, stdout, stderr := sluiceAs("kubectl-sluice", "", "flows", "--denied", "--kubeconfig", kubeconfig, "--retry", "0s", "-o", format)
		if code != exitFailed { // The streams have ended.
			t.Errorf("%s: exit %d: %s", format, code, stderr)
		}
		lines := strings.Split(strings.TrimSpace(stdout), "\n")
		slices.Sort(lines)
		return lines
	}
	want := []string{
		"node-0  2026-11-22T20:00:00.000Z Deny      TCP 10.0.0.1:0 -> shop/of-node-0 10.0.0.2:0",
		"node-1  2026-11-22T20:00:00.000Z Deny      TCP 10.0.0.1:0 -> shop/of-node-1 10.0.0.2:0",
	}
	if diff := cmp.Diff(want, flows("wide")); diff != "" {
		t.Errorf("wide (-want +got):\n%s", diff)
	}
	for _, line := range flows("json") {
		var d document
		if err := json.Unmarshal([]byte(line), &d); err != nil || d != (document{"query.sluice.dev/v1alpha1", "FlowEvent"}) {
			t.Errorf("%v: %s", err, line)
		}
	}
	text := strings.Join(flows("yaml"), "\n")
	for part, want := range map[string]int{"---": 2, "apiVersion: query.sluice.dev/v1alpha1": 2, "kind: FlowEvent": 2, "node: node-1": 1} {
		if strings.Count(text, part) != want {
			t.Errorf("%q is not %d times in\n%s", part, want, text)
		}
	}
}
