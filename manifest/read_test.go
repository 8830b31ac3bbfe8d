package manifest_test

import (
	"errors"
	"fmt"
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
)

const podYAML = `apiVersion: v1
kind: Pod
metadata:
  name: web
  labels: {app: web}
spec:
  nodeName: n1
  containers:
  - name: web
    somethingNewer: {a: 1}
    ports:
    - {name: http, containerPort: 80}
status:
  phase: Running
  podIP: 10.0.0.1
  podIPs: [{ip: 10.0.0.1}, {ip: "fd00::1"}]
`

const policyYAML = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: db
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
  - from:
    - podSelector: {}
    ports:
    - port: 80
  egress:
  - {}
`

const policyJSON = `{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"%s"},"spec":{"podSelector":{}}}`

// write writes files to a new directory and returns the path of the directory.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// read calls Read with the text as standard input.
func read(text string) (*inventory.Set, error) {
	return manifest.Read([]string{manifest.Stdin}, strings.NewReader(text))
}

// names returns "kind namespace/name" for each object in a set.
func names(s *inventory.Set) []string {
	var out []string
	for _, o := range s.Namespaces {
		out = append(out, "Namespace "+o.Name)
	}
	for _, o := range s.Nodes {
		out = append(out, "Node "+o.Name)
	}
	for _, o := range s.Pods {
		out = append(out, "Pod "+o.Pod.Namespace+"/"+o.Name)
	}
	for _, o := range s.Policies {
		out = append(out, inventory.ObjectName(o.Kind(), o.Scope, o.Name))
	}
	return out
}

func TestReadForms(t *testing.T) {
	bareItem := `{"metadata":{"name":"%s","namespace":"x"},"status":{"podIP":"10.0.0.%d"}}`
	tests := map[string]struct {
		text string
		want []string
	}{
		"one document":                    {podYAML, []string{"Pod default/web"}},
		"stream":                          {podYAML + "---\n" + policyYAML, []string{"Pod default/web", "NetworkPolicy default/db"}},
		"marker with comment":             {"--- # first\n" + podYAML + "--- \n# nothing\n---\n" + policyYAML, []string{"Pod default/web", "NetworkPolicy default/db"}},
		"document end and directive":      {"%YAML 1.1\n---\n" + podYAML + "...\n---\n" + policyYAML, []string{"Pod default/web", "NetworkPolicy default/db"}},
		"Windows line breaks":             {strings.ReplaceAll(podYAML+"---\n"+policyYAML, "\n", "\r\n"), []string{"Pod default/web", "NetworkPolicy default/db"}},
		"byte order mark":                 {"\xef\xbb\xbf" + podYAML, []string{"Pod default/web"}},
		"content after the marker":        {"--- {apiVersion: v1, kind: Namespace, metadata: {name: a}}\n", []string{"Namespace a"}},
		"JSON":                            {fmt.Sprintf(policyJSON, "a"), []string{"NetworkPolicy default/a"}},
		"JSON stream":                     {fmt.Sprintf(policyJSON, "a") + fmt.Sprintf(policyJSON, "b") + "\n", []string{"NetworkPolicy default/a", "NetworkPolicy default/b"}},
		"JSON then YAML":                  {fmt.Sprintf(policyJSON, "a") + "\n---\n" + podYAML, []string{"Pod default/web", "NetworkPolicy default/a"}},
		"YAML in flow style":              {"{apiVersion: v1, kind: Namespace, metadata: {name: a}}", []string{"Namespace a"}},
		"List":                            {"apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Namespace, metadata: {name: a}}\n- {apiVersion: v1, kind: Node, metadata: {name: n1}}\n", []string{"Namespace a", "Node n1"}},
		"List in JSON":                    {`{"apiVersion":"v1","kind":"List","items":[` + fmt.Sprintf(policyJSON, "a") + `,` + fmt.Sprintf(policyJSON, "b") + `]}`, []string{"NetworkPolicy default/a", "NetworkPolicy default/b"}},
		"List in a List":                  {"kind: List\nitems:\n- kind: NamespaceList\n  items:\n  - metadata: {name: a}\n", []string{"Namespace a"}},
		"PodList with items without kind": {`{"kind":"PodList","apiVersion":"v1","items":[` + fmt.Sprintf(bareItem, "a", 1) + `,` + fmt.Sprintf(bareItem, "b", 2) + `]}`, []string{"Pod x/a", "Pod x/b"}},
		"empty list and another object":   {"kind: PodList\nitems: []\n---\n" + podYAML, []string{"Pod default/web"}},
		"null items":                      {"kind: List\nitems: null\n---\n" + podYAML, []string{"Pod default/web"}},
		"cluster policies of both versions": {
			clusterPolicyYAML("v1beta1", "a", "") + "---\n" + clusterPolicyYAML("v1alpha2", "b", ""),
			[]string{"ClusterNetworkPolicy a", "ClusterNetworkPolicy b"},
		},
		"ClusterNetworkPolicyList": {
			"apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicyList\nitems:\n- metadata: {name: a}\n",
			[]string{"ClusterNetworkPolicy a"},
		},
		"a label that looks like a number": {"apiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: {1: \"2\"}}\n", []string{"Namespace a"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			set, err := read(test.text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, names(set)); diff != "" {
				t.Errorf("objects (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadDirectory(t *testing.T) {
	namespace := func(name string) string { return "apiVersion: v1\nkind: Namespace\nmetadata: {name: " + name + "}\n" }
	dir := write(t, map[string]string{
		"a.yaml":           namespace("a"),
		"b.yml":            namespace("b"),
		"c.json":           `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"c"}}`,
		"below/d.yaml":     namespace("d"),
		"empty.yaml":       "# nothing yet\n",
		"notes.txt":        "not: [a manifest",
		".hidden.yaml":     "not: [a manifest",
		".git/config.yaml": "not: [a manifest",
	})
	set, err := manifest.Read([]string{dir, filepath.Join(dir, "a.yaml")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"Namespace a", "Namespace b", "Namespace d", "Namespace c"}
	if diff := cmp.Diff(want, names(set)); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
}

func TestReadDefaults(t *testing.T) {
	set, err := read(podYAML + "---\n" + policyYAML + "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: prod, labels: {tier: one}}\n")
	if err != nil {
		t.Fatal(err)
	}
	pod := set.Pods[0]
	if pod.Pod.Namespace != "default" || pod.Ports[0].Protocol != 6 {
		t.Errorf("S04 pod defaults: namespace %q, protocol %d", pod.Pod.Namespace, pod.Ports[0].Protocol)
	}
	wantAddresses := []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")}
	if diff := cmp.Diff(wantAddresses, pod.Addresses, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
	p := set.Policies[0]
	if p.Scope != "default" || p.Isolates != [2]bool{true, true} {
		t.Errorf("S04 policy defaults: namespace %q, isolates %v; want default, both directions", p.Scope, p.Isolates)
	}
	if got := p.Ingress[0].Ports[0].Protocol; got != flow.TCP {
		t.Errorf("S04 protocol: %v, want TCP", got)
	}
	wantLabels := map[string]string{"tier": "one", "kubernetes.io/metadata.name": "prod"}
	if diff := cmp.Diff(wantLabels, set.Namespaces[0].Labels.Map()); diff != "" {
		t.Errorf("namespace labels (-want +got):\n%s", diff)
	}
}

func TestReadSkips(t *testing.T) {
	set, err := read(podYAML + `---
apiVersion: example.com/v1
kind: Deployment
metadata: {name: web}
spec: {template: {spec: {containers: [{ports: all of them}]}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: web}
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: web}
spec: {selector: all()}
`)
	if err != nil {
		t.Fatal(err)
	}
	want := []inventory.Skipped{{Kind: "ConfigMap", Count: 1}, {Kind: "Deployment (example.com/v1)", Count: 1}}
	if diff := cmp.Diff(want, set.Skipped); diff != "" {
		t.Errorf("skipped (-want +got):\n%s", diff)
	}
	other := []inventory.Skipped{{Kind: "NetworkPolicy (projectcalico.org)", Count: 1}}
	if diff := cmp.Diff(other, set.NotEvaluated); diff != "" {
		t.Errorf("not evaluated (-want +got):\n%s", diff)
	}
}

func TestReadErrors(t *testing.T) {
	policy := func(spec string) string {
		return "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: db\nspec:\n" + spec
	}
	pod := func(status string) string {
		return "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\nstatus:\n" + status
	}
	tests := map[string]struct {
		text string
		want []string
	}{
		"S61 invalid YAML": {"kind: Pod\n  name: web\n", []string{"standard input:2: invalid YAML: mapping values are not allowed in this context"}},
		"S61 a tab":        {podYAML + "---\na:\n\tb: 1\n", []string{"standard input:19: invalid YAML: found character that cannot start any token; YAML is indented with spaces, not with tabs"}},
		"S61 a key twice":  {"kind: Pod\nkind: Node\n", []string{`standard input:2: invalid YAML: the key "kind" is given twice; keep one`}},
		"S61 a typo in a policy": {
			policy("  podSelector: {}\n  ingress:\n  - form:\n    - podSelector: {}\n"),
			[]string{`standard input:8: NetworkPolicy default/db: spec.ingress[0].form: unknown field; did you mean "from"?`},
		},
		"S61 a field in the wrong place": {
			policy("  podSelector: {}\n  ingress:\n  - podSelector: {}\n"),
			[]string{"standard input:8: NetworkPolicy default/db: spec.ingress[0].podSelector: unknown field; want one of from, ports"},
		},
		"S61 a list for an object": {
			policy("  podSelector:\n  - matchLabels: {a: b}\n"),
			[]string{"standard input:6: NetworkPolicy default/db: spec.podSelector: is a list, must be an object; remove the dash"},
		},
		"S61 an object for a list": {
			policy("  podSelector: {}\n  egress:\n    to: []\n"),
			[]string{"standard input:7: NetworkPolicy default/db: spec.egress: is an object, must be a list; begin its entries with a dash"},
		},
		"S61 a label that is not a string": {
			policy("  podSelector:\n    matchLabels:\n      enabled: yes\n"),
			[]string{"standard input:8: NetworkPolicy default/db: spec.podSelector.matchLabels.enabled: is the boolean true, must be a string; put it in quotes"},
		},
		"S61 a port of a wrong type": {
			policy("  podSelector: {}\n  ingress:\n  - ports:\n    - port: [80]\n"),
			[]string{"standard input:9: NetworkPolicy default/db: spec.ingress[0].ports[0].port: is a list, must be a port number or a port name"},
		},
		"S61 a number too large": {
			policy("  podSelector: {}\n  ingress:\n  - ports:\n    - port: 80\n      endPort: 99999999999\n"),
			[]string{"standard input:10: NetworkPolicy default/db: spec.ingress[0].ports[0].endPort: 99999999999 is too large a number"},
		},
		"S61 several errors in one object": {policy("  podSelektor: {}\n  ingress:\n  - ports: 80\n"), []string{
			"standard input:8: NetworkPolicy default/db: spec.ingress[0].ports: is the number 80, must be a list",
			`standard input:6: NetworkPolicy default/db: spec.podSelektor: unknown field; did you mean "podSelector"?`,
		}},
		"S61 a field twice in JSON": {
			`{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"a"},` + "\n" + `"spec":{"podSelector":{},` + "\n" + `"podSelector":{}}}`,
			[]string{"standard input:2: NetworkPolicy default/a: spec.podSelector: the field is given twice; keep one"},
		},
		"S61 an invalid pod address":    {pod("  podIPs:\n  - ip: 10.0.0.1\n  - ip: 10.0.0.300\n"), []string{`standard input:8: Pod default/web: status.podIPs[1].ip: "10.0.0.300" is not an IP address`}},
		"S61 a wrong type in a pod":     {"apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\nspec:\n  hostNetwork: \"yes\"\n", []string{`standard input:6: Pod default/web: spec.hostNetwork: is the string "yes", must be true or false; if it is in quotes, remove them`}},
		"S61 an invalid container port": {"apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers:\n  - ports:\n    - {name: http, containerPort: 80000}\n", []string{"standard input:7: Pod default/web: spec.containers[0].ports[0].containerPort: 80000 is not a port: want 1 to 65535"}},
		"S61 an invalid node address":   {"apiVersion: v1\nkind: Node\nmetadata: {name: n1}\nstatus:\n  addresses:\n  - {type: InternalIP, address: n.example}\n", []string{`standard input:6: Node n1: status.addresses[0].address: "n.example" is not an IP address`}},
		"S61 two pods of a name":        {podYAML + "---\n" + strings.Replace(podYAML, "10.0.0.1", "10.0.0.2", 2), []string{"standard input:17: Pod default/web: is in the input twice with different content, first at standard input:1; remove one or rename it"}},
		"S61 no kind":                   {"apiVersion: v1\nmetadata: {name: a}\n", []string{"standard input:1: object default/a: kind: missing; write the kind of the object, such as kind: NetworkPolicy"}},
		"S61 no apiVersion":             {"kind: NetworkPolicy\nmetadata: {name: a}\n", []string{"standard input:1: NetworkPolicy default/a: apiVersion: missing; write apiVersion: networking.k8s.io/v1"}},
		"S61 an old apiVersion":         {"apiVersion: extensions/v1beta1\nkind: NetworkPolicy\nmetadata: {name: a}\n", []string{`standard input:1: NetworkPolicy default/a: apiVersion: "extensions/v1beta1" is not served by any supported Kubernetes; write apiVersion: networking.k8s.io/v1`}},
		"S61 no name":                   {"apiVersion: v1\nkind: Namespace\nmetadata:\n  labels: {a: b}\n", []string{"standard input:3: Namespace without a name: metadata.name: missing; give the Namespace a name"}},
		"S61 an impossible name":        {"apiVersion: v1\nkind: Namespace\nmetadata:\n  name: My_Space\n", []string{`standard input:4: Namespace My_Space: metadata.name: "My_Space" is not a valid name: a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')`}},
		"S61 a scalar":                  {"hello\n", []string{"standard input:1: is not a Kubernetes object; want apiVersion, kind and metadata (separate several objects with a line ---, or put them under items: of kind: List)"}},
		"S61 empty input":               {"", []string{"standard input: is empty; want YAML or JSON with Kubernetes objects"}},
		"S61 only other kinds":          {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n", []string{"standard input: contains no Pod, workload, Service, Namespace, Node, NetworkPolicy or ClusterNetworkPolicy, only kinds that do not affect policies (such as ConfigMap)"}},
		"S61 UTF-16":                    {"\xff\xfek\x00", []string{"standard input: is UTF-16 text; save it as UTF-8 (in PowerShell: kubectl ... | Out-File -Encoding utf8)"}},
		"S61 an item of a list":         {"kind: List\nitems:\n- apiVersion: v1\n  kind: Node\n  metadata:\n    name: [n1]\n", []string{"standard input:6: Node without a name: metadata.name: is a list, must be a string"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			set, err := read(test.text)
			var errs inventory.Errors
			if !errors.As(err, &errs) {
				t.Fatalf("error %v, want inventory.Errors; objects %v", err, set)
			}
			if diff := cmp.Diff(strings.Join(test.want, "\n"), errs.Error()); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadErrorsOfFiles(t *testing.T) {
	dir := write(t, map[string]string{
		"cut.json":     "{\"apiVersion\": \"v1\",\n\"kind\": \"Pod\",\n\"metadata\": {",
		"bad.json":     "{\"apiVersion\": \"v1\",\n\"kind\" \"Pod\"}",
		"empty.yaml":   "",
		"none/file.md": "text",
	})
	tests := map[string]string{
		"cut.json":     "cut.json:3: invalid JSON: the text ends inside a value; is the file cut off?",
		"bad.json":     "bad.json:2: invalid JSON: invalid character '\"' after object key",
		"empty.yaml":   "empty.yaml: is empty; want YAML or JSON with Kubernetes objects",
		"none":         "none: the directory contains no *.yaml, *.yml or *.json file",
		"missing.yaml": "missing.yaml: no such file or directory",
	}
	for name, want := range tests {
		_, err := manifest.Read([]string{filepath.Join(dir, name)}, nil)
		if err == nil || strings.TrimPrefix(err.Error(), dir+"/") != want {
			t.Errorf("%s: error %v, want %s", name, err, want)
		}
	}
}

func TestErrorsAreBounded(t *testing.T) {
	_, err := read(strings.Repeat("---\nkind: Pod\n", 50))
	if err == nil || strings.Count(err.Error(), "\n") != 20 || !strings.HasSuffix(err.Error(), "\nand 30 more") {
		t.Errorf("error %v, want 20 errors and the number of the others", err)
	}
}

func TestLongList(t *testing.T) {
	item := func(i int, note string) string {
		return fmt.Sprintf("- apiVersion: v1\n  kind: Namespace\n  metadata:\n    name: n%d\n    annotations:\n      note: %s\n", i, note)
	}
	long := "|\n        - text\n        - apiVersion: v1\n"
	quoted := "\"a\n- apiVersion: v1\n- b\""
	anchor := "&a \"x\""
	alias := "*a"
	for name, notes := range map[string][]string{"block scalars": {long}, "quoted lines that look like items": {quoted}, "aliases": {anchor, alias}} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			b.WriteString("apiVersion: v1\nitems:\n")
			for i := range 1000 {
				b.WriteString(item(i, notes[min(i, len(notes)-1)]))
			}
			b.WriteString("kind: List\nmetadata:\n  resourceVersion: \"\"\n")
			set, err := read(b.String())
			if err != nil {
				t.Fatal(err)
			}
			if len(set.Namespaces) != 1000 || set.Namespaces[999].Name != "n999" {
				t.Errorf("%d namespaces, want 1000 in order", len(set.Namespaces))
			}
		})
	}
	t.Run("items without a kind", func(t *testing.T) {
		text := "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicyList\nitems:\n"
		for i := range 1000 {
			text += fmt.Sprintf("- metadata:\n    name: p%d\n  spec:\n    podSelector: {matchLabels: {app: a%d}}\n    policyTypes: [Egress]\n", i, i)
		}
		set, err := read(text)
		if err != nil {
			t.Fatal(err)
		}
		last := set.Policies[999]
		if got := last.Subject.Pods.String(); last.Name != "p999" || got != "app=a999" {
			t.Errorf("the last policy is %s and selects %q, want p999 and app=a999", last.Name, got)
		}
		if want := [2]bool{rule.Egress: true}; last.Isolates != want {
			t.Errorf("the last policy isolates %v, want egress only", last.Isolates)
		}
	})
	t.Run("lines of errors", func(t *testing.T) {
		text := "apiVersion: v1\nkind: List\nitems:\n"
		for i := range 1000 {
			text += item(i, "x")
		}
		text += "- apiVersion: v1\n  kind: Namespace\n  metadata:\n    name: []\n"
		_, err := read(text)
		if want := "standard input:6007: Namespace without a name: metadata.name: is a list, must be a string"; err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
	})
}
