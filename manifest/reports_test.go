package manifest_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/manifest"
	"github.com/sluicenet/sluice/query"
)

// tcp is a TCP flow and the verdict that the test expects for the flow.
type tcp struct {
	src, dst string
	port     uint16
	want     rule.Verdict
}

// TestReadReportedInputs reads inputs from public reports, and checks verdicts for flows
// between the objects. testdata/README.md lists the reports.
func TestReadReportedInputs(t *testing.T) {
	for name, flows := range map[string][]tcp{
		"policy-status.yaml": {
			{"10.0.0.1", "10.0.0.2", 8080, rule.Allow},
			{"10.0.0.1", "10.0.0.2", 22, rule.Deny},
		},
		"merge-override.yaml": {
			{"10.0.0.1", "10.0.0.2", 80, rule.Allow},
			{"203.0.113.9", "10.0.0.2", 80, rule.Deny},
			{"10.0.0.2", "10.0.0.1", 80, rule.Allow},
		},
		"must-gather": {
			{"203.0.113.9", "10.0.0.1", 80, rule.Deny},
		},
	} {
		t.Run(name, func(t *testing.T) {
			set, err := manifest.Read([]string{filepath.Join("testdata", name)}, nil)
			if err != nil {
				t.Fatal(err)
			}
			cluster := query.NewCluster(set)
			t.Cleanup(func() { cluster.Close() })
			for _, f := range flows {
				got, err := cluster.Verdict(flow.Flow{
					Src: netip.MustParseAddr(f.src), Dst: netip.MustParseAddr(f.dst), Protocol: flow.TCP, DstPort: f.port,
				})
				if err != nil || got != f.want {
					t.Errorf("%s to %s port %d: %v, error %v, want %v", f.src, f.dst, f.port, got, err, f.want)
				}
			}
		})
	}
}

// TestReadRejectsUnreadInput reads inputs from public reports. The inputs begin with valid objects
// and continue with other text. Regardless of the file name, Read must return an error, and not
// only the objects at the beginning.
func TestReadRejectsUnreadInput(t *testing.T) {
	separate := "invalid YAML: the document ends before this line; indent the line as the lines above it, or separate documents with a line ---"
	for name, want := range map[string]string{
		"json-then-yaml.yaml":    ":6: invalid JSON: invalid character 'a' looking for beginning of value",
		"json-then-warning.yaml": ":7: invalid JSON: invalid character 'W' looking for beginning of value",
		"json-cut-off.yaml":      ":6: invalid JSON: the text ends inside a value; is the file cut off?",
		"cluster-info-dump.txt":  ":13: invalid JSON: invalid character '=' looking for beginning of value",
		"indented-head.yaml":     ":14: " + separate,
	} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		text := string(data)
		if _, err := read(text); err == nil || err.Error() != manifest.StdinName+want {
			t.Errorf("%s on standard input: error %v, want %s", name, err, want)
		}
		for _, file := range []string{"x", "x.yaml", "x.yml", "x.txt"} {
			path := filepath.Join(write(t, map[string]string{file: text}), file)
			if _, err := manifest.Read([]string{path}, nil); err == nil || err.Error() != path+want {
				t.Errorf("%s in a file: error %v, want %s", name, err, want)
			}
		}
		path := filepath.Join(write(t, map[string]string{"x.json": text}), "x.json")
		if _, err := manifest.Read([]string{path}, nil); err == nil {
			t.Errorf("%s in a file named .json: no error", name)
		}
	}
}

func TestReadRejectsWhatFollowsADocument(t *testing.T) {
	namespace := `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"a"}}`
	separate := "invalid YAML: the document ends before this line; indent the line as the lines above it, or separate documents with a line ---"
	for name, test := range map[string]struct{ text, want string }{
		"text after JSON":             {namespace + "\noops", ":2: invalid JSON: invalid character 'o' looking for beginning of value"},
		"text on the line of JSON":    {namespace + " oops", ":1: invalid JSON: invalid character 'o' looking for beginning of value"},
		"text between JSON values":    {namespace + "\nWarning: x\n" + namespace, ":2: invalid JSON: invalid character 'W' looking for beginning of value"},
		"a closing brace too many":    {namespace + "}\n", ":1: invalid JSON: invalid character '}' looking for beginning of value"},
		"text after flow style":       {"{apiVersion: v1, kind: Namespace, metadata: {name: a}}\noops\n", ":2: " + separate},
		"text after a document end":   {"apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n... oops\n", ":4: " + separate},
		"a document after old breaks": {"apiVersion: v1\rkind: Namespace\rmetadata: {name: a}\r---\rapiVersion: v1\rkind: Namespace\rmetadata: {name: b}\r", ":1: invalid YAML: a second document begins in it; separate documents with a line ---"},
		"an unknown directive":        {"apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\n%oops\n", ":5: invalid YAML: found unknown directive name"},
		"a zero byte":                 {"apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n\x00\x00\n", ":4: contains the control character U+0000; is it text?"},
		"a zero byte after JSON":      {namespace + "\n\x00", ":2: contains the control character U+0000; is it text?"},
		"bytes that are not UTF-8":    {namespace + "\n\xff", ":2: is not UTF-8 text"},
		"a byte order mark inside":    {namespace + "\n\ufeff" + namespace, ":2: invalid JSON: invalid character 'ï' looking for beginning of value"},
		"JSON items twice":            {`{"apiVersion":"v1","kind":"List","items":[` + namespace + `],` + "\n" + `"items":[]}`, ":1: List: items: the field is given twice; keep one"},
		"a JSON kind twice":           {`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"a"},` + "\n" + `"kind":"Secret"}`, ":1: Secret default/a: kind: the field is given twice; keep one"},
		"JSON labels twice":           {`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","labels":{"a":"b"},` + "\n" + `"labels":{}}}`, ":1: Pod default/a: metadata.labels: the field is given twice; keep one"},
		"a key twice as JSON has it":  {"apiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: {1: a, \"1\": b}}\n", `:1: invalid YAML: the key "1" is given twice, with and without quotes; keep one`},
		"a list without items":        {"apiVersion: v1\nkind: List\nitem:\n- " + namespace + "\n", `:3: List: item: unknown field; did you mean "items"?`},
		"a JSON list without items":   {`{"apiVersion":"v1","kind":"List","Items":[` + namespace + `]}`, `:1: List: Items: unknown field; did you mean "items"?`},
		"a list with nothing":         {"apiVersion: v1\nkind: PodList\n", ":1: PodList: items: missing; an empty list has items: []"},
		"a kind in the wrong case":    {namespace + "\n---\napiVersion: networking.k8s.io/v1\nkind: Networkpolicy\nmetadata: {name: a}\n", `:2: Networkpolicy default/a: kind: "Networkpolicy" does not exist; write kind: NetworkPolicy`},
		"a label twice in a selector": {"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\nspec:\n  podSelector:\n    matchLabels:\n      run: one\n      run: two\n", `:8: invalid YAML: the key "run" is given twice; to match one of several values, write matchExpressions: [{key: run, operator: In, values: [...]}]`},
		"a merge key after its key":   {"apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  annotations: &a {app: x}\n  labels:\n    app: y\n    <<: *a\n", `:8: invalid YAML: the merge key << follows the key "app", which it also sets; put << first`},
	} {
		t.Run(name, func(t *testing.T) {
			set, err := read(test.text)
			if err == nil {
				t.Fatalf("no error; objects %v", names(set))
			}
			if diff := cmp.Diff(manifest.StdinName+test.want, err.Error()); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadNotesIdenticalObjects(t *testing.T) {
	dir := filepath.Join("testdata", "must-gather")
	set, err := manifest.Read([]string{dir}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"Pod shop/a", "NetworkPolicy shop/deny"}, names(set)); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
	want := []inventory.Duplicate{{
		Object: "Pod shop/a",
		Origin: inventory.Origin{File: filepath.Join(dir, "namespaces/shop/pods/a/a.yaml"), Line: 1},
		First:  inventory.Origin{File: filepath.Join(dir, "namespaces/shop/core/pods.yaml"), Line: 4},
	}}
	if diff := cmp.Diff(want, set.Duplicates); diff != "" {
		t.Errorf("duplicates (-want +got):\n%s", diff)
	}
}

func TestReadComparesObjectsOfOneName(t *testing.T) {
	pod := func(meta, address string) string {
		return "---\napiVersion: v1\nkind: Pod\nmetadata: {name: a" + meta + "}\nstatus: {podIP: " + address + "}\n"
	}
	version := `, uid: u1, resourceVersion: "7"`
	for name, test := range map[string]struct {
		text      string
		identical bool
	}{
		"same content":                    {pod("", "10.0.0.1") + pod("", "10.0.0.1"), true},
		"other address":                   {pod("", "10.0.0.1") + pod("", "10.0.0.2"), false},
		"other labels":                    {pod("", "10.0.0.1") + pod(", labels: {a: b}", "10.0.0.1"), false},
		"same version":                    {pod(version, "10.0.0.1") + pod(version+", labels: {a: b}", "10.0.0.1"), true},
		"other version, same content":     {pod(version, "10.0.0.1") + pod(`, uid: u1, resourceVersion: "8"`, "10.0.0.1"), true},
		"other version, other content":    {pod(version, "10.0.0.1") + pod(`, uid: u1, resourceVersion: "8"`, "10.0.0.2"), false},
		"other object with the same name": {pod(version, "10.0.0.1") + pod(`, uid: u2, resourceVersion: "7"`, "10.0.0.1"), false},
		"policies with the same spec":     {policyYAML + "---\n" + policyYAML, true},
		"policies with different specs":   {policyYAML + "---\n" + strings.Replace(policyYAML, "port: 80", "port: 81", 1), false},
	} {
		set, err := read(test.text)
		switch {
		case test.identical && err != nil:
			t.Errorf("%s: error %v, want one object", name, err)
		case test.identical && (len(set.Pods)+len(set.Policies) != 1 || len(set.Duplicates) != 1):
			t.Errorf("%s: objects %v and duplicates %v, want one of each", name, names(set), set.Duplicates)
		case !test.identical && (err == nil || !strings.Contains(err.Error(), "twice with different content")):
			t.Errorf("%s: error %v, want one about different content", name, err)
		}
	}
}

func TestReadSkipsFilesOfHelmAndKustomize(t *testing.T) {
	namespace := "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n"
	files := map[string]string{
		"chart/Chart.yaml":          "apiVersion: v2\nname: shop\nversion: 1.0.0\n",
		"chart/values.yaml":         "replicas: 1\nports: [80]\n",
		"chart/templates/a.yaml":    namespace,
		"base/kustomization.yaml":   "resources: [a.yaml]\n",
		"overlay/kustomization.yml": "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [../base]\n",
		"odd/values.yaml":           strings.Replace(namespace, "name: a", "name: b", 1),
	}
	dir := write(t, files)
	set, err := manifest.Read([]string{dir}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"Namespace a", "Namespace b"}, names(set)); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
	want := []string{"base/kustomization.yaml", "chart/Chart.yaml", "chart/values.yaml"}
	for i, name := range set.SkippedFiles {
		set.SkippedFiles[i] = strings.TrimPrefix(name, dir+"/")
	}
	if diff := cmp.Diff(want, set.SkippedFiles); diff != "" {
		t.Errorf("skipped files (-want +got):\n%s", diff)
	}
	for _, name := range []string{"chart/Chart.yaml", "chart/values.yaml", "base/kustomization.yaml"} {
		if _, err := manifest.Read([]string{filepath.Join(dir, name)}, nil); err == nil || !strings.Contains(err.Error(), "kind: missing") {
			t.Errorf("%s by name: error %v, want the missing kind", name, err)
		}
	}
}
