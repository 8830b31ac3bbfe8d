package lint_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/manifest"
	"github.com/sluicenet/sluice/policy/lint"
)

// shop is a small cluster: a web server and a database in namespace shop, Prometheus in
// namespace watch, and DNS pods.
const shop = `
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: shop}}
---
apiVersion: v1
kind: Namespace
metadata: {name: watch, labels: {team: ops}}
---
apiVersion: v1
kind: Namespace
metadata: {name: kube-system}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {containers: [{ports: [{name: http, containerPort: 8080}, {name: stats, containerPort: 8125, protocol: UDP}]}]}
status: {phase: Running, podIP: 10.0.0.1}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
spec: {containers: [{ports: [{name: sql, containerPort: 5432}]}]}
status: {phase: Running, podIP: 10.0.0.2}
---
apiVersion: v1
kind: Pod
metadata: {name: agent, namespace: shop, labels: {app: agent}}
spec: {hostNetwork: true}
status: {phase: Running, podIP: 192.168.0.1, hostIP: 192.168.0.1}
---
apiVersion: v1
kind: Pod
metadata: {name: job, namespace: shop, labels: {app: job}}
status: {phase: Succeeded, podIP: 10.0.0.9}
---
apiVersion: v1
kind: Pod
metadata: {name: prometheus, namespace: watch, labels: {app: prometheus}}
status: {phase: Running, podIP: 10.0.1.1}
---
apiVersion: v1
kind: Pod
metadata: {name: coredns, namespace: kube-system, labels: {k8s-app: kube-dns}}
spec: {containers: [{ports: [{name: dns, containerPort: 53, protocol: UDP}]}]}
status: {phase: Running, podIP: 10.0.2.1}
`

// np returns a policy in YAML with the given spec and the name p in namespace shop.
func np(spec string) string {
	return "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p, namespace: shop}\nspec: {" + spec + "}\n"
}

// inputOf returns the input of lint for the objects of a set, including the pods of workloads.
func inputOf(set *inventory.Set) lint.Input {
	set.AddTemplates()
	in := lint.Input{
		Snapshot: set.Snapshot(), Blanks: map[string][]string{}, Services: set.Services, Endpoints: set.Slices, RunSometimes: set.RunSometimes(),
	}
	for _, p := range set.Policies {
		in.Blanks[p.String()] = p.Blanks
	}
	return in
}

// look runs all checks on the objects of a cluster, which are given as YAML. It returns the
// findings, and a short text for each finding with the severity, the check and the field.
func look(t *testing.T, text string) (short []string, findings []lint.Finding) {
	t.Helper()
	set, err := manifest.Read([]string{"-"}, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	findings = lint.Run(inputOf(set))
	for _, f := range findings {
		short = append(short, strings.TrimSpace(string(f.Severity)+" "+f.Check+" "+f.Field))
		if f.Message == "" || strings.Contains(f.Message+f.Fix, "%!") {
			t.Errorf("finding %+v has an incomplete message", f)
		}
	}
	return short, findings
}

func TestCheck(t *testing.T) {
	const selectWeb = "podSelector: {matchLabels: {app: web}}, "
	tests := map[string]struct {
		spec string
		want []string
	}{
		"nothing wrong":             {selectWeb + "ingress: [{from: [{podSelector: {matchLabels: {app: db}}}], ports: [{port: http}]}]", nil},
		"default deny of ingress":   {"podSelector: {}", nil},
		"S60 problems are errors":   {selectWeb + "ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/33}}]}]", []string{"error not-understood spec.ingress[0].from[0].ipBlock.cidr"}},
		"except outside the cidr":   {selectWeb + "ingress: [{from: [{ipBlock: {cidr: 172.16.0.0/16, except: [172.17.0.0/24]}}]}]", []string{"error not-understood spec.ingress[0].from[0].ipBlock.except[0]"}},
		"selects no pod":            {"podSelector: {matchLabels: {app: wbe}}", []string{"warning no-pod-selected spec.podSelector"}},
		"selects finished pods":     {"podSelector: {matchLabels: {app: job}}", []string{"note runs-sometimes spec.podSelector"}},
		"selects host network":      {"podSelector: {matchLabels: {app: agent}}", []string{"warning no-pod-selected spec.podSelector"}},
		"selects another namespace": {"podSelector: {matchLabels: {app: prometheus}}", []string{"warning no-pod-selected spec.podSelector"}},
		"no such port name":         {selectWeb + "ingress: [{ports: [{port: https}]}]", []string{"warning no-such-port spec.ingress[0].ports[0].port"}},
		"port name of another protocol": {
			selectWeb + "ingress: [{ports: [{port: stats}]}]",
			[]string{"warning no-such-port spec.ingress[0].ports[0].port"},
		},
		"port name of some": {"podSelector: {}, ingress: [{ports: [{port: http}]}]", []string{"note port-of-some spec.ingress[0].ports[0].port"}},
		"egress port name is the peer's": {
			selectWeb + "policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: db}}}], ports: [{port: http}]}, {ports: [{port: 53, protocol: UDP}]}]",
			[]string{"warning no-such-port spec.egress[0].ports[0].port"},
		},
		"ipBlock of a pod":                    {selectWeb + "ingress: [{from: [{ipBlock: {cidr: 10.0.1.1/32}}]}]", []string{"warning block-of-pod spec.ingress[0].from[0].ipBlock.cidr"}},
		"ipBlock with pods":                   {selectWeb + "ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}}]}]", []string{"note block-of-pod spec.ingress[0].from[0].ipBlock.cidr"}},
		"ipBlock without pods":                {selectWeb + "ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}]}]", nil},
		"except equal to cidr":                {selectWeb + "ingress: [{from: [{ipBlock: {cidr: 172.16.0.0/16, except: [172.16.0.0/16]}}]}]", []string{"warning except-equals-cidr spec.ingress[0].from[0].ipBlock.except[0]"}},
		"ipBlock with host bits in an except": {selectWeb + "ingress: [{from: [{ipBlock: {cidr: 172.16.0.0/12, except: [172.17.0.1/16]}}]}]", []string{"note host-bits spec.ingress[0].from[0].ipBlock.except[0]"}},
		"ipBlock with leading zeros": {selectWeb + "ingress: [{from: [{ipBlock: {cidr: 172.16.0.0/12, except: [172.020.0.0/16, 172.16.1.0/024]}}]}]", []string{
			"warning leading-zeros spec.ingress[0].from[0].ipBlock.except[0]", "warning leading-zeros spec.ingress[0].from[0].ipBlock.except[1]",
		}},
		"ipBlock whose except is the cidr, with leading zeros": {selectWeb + "ingress: [{from: [{ipBlock: {cidr: 172.016.0.0/16, except: [172.16.0.0/16]}}]}]", []string{"warning except-equals-cidr spec.ingress[0].from[0].ipBlock.except[0]"}},
		"ipBlock with host bits":                               {selectWeb + "ingress: [{from: [{ipBlock: {cidr: 172.16.5.1/16}}]}]", []string{"note host-bits spec.ingress[0].from[0].ipBlock.cidr"}},
		"two dashes": {
			selectWeb + "ingress: [{from: [{namespaceSelector: {matchLabels: {team: ops}}}, {podSelector: {matchLabels: {app: db}}}]}]",
			[]string{"warning two-dashes spec.ingress[0].from[1]"},
		},
		"two dashes, the other way round": {
			selectWeb + "ingress: [{from: [{podSelector: {matchLabels: {app: db}}}, {namespaceSelector: {matchLabels: {team: ops}}}]}]",
			[]string{"warning two-dashes spec.ingress[0].from[1]"},
		},
		"two dashes and the pod is elsewhere": {
			selectWeb + "ingress: [{from: [{ipBlock: {cidr: 172.16.0.0/16}}, {namespaceSelector: {matchLabels: {team: ops}}}, {podSelector: {matchLabels: {app: prometheus}}}]}]",
			[]string{"warning no-peer-matched spec.ingress[0].from[2]", "warning two-dashes spec.ingress[0].from[2]"},
		},
		"two dashes among other entries": {
			selectWeb + "ingress: [{from: [{ipBlock: {cidr: 172.16.0.0/16}}, {namespaceSelector: {matchLabels: {team: ops}}}, {podSelector: {matchLabels: {app: db}}}]}]",
			[]string{"note two-dashes spec.ingress[0].from[2]"},
		},
		"two dashes, all namespaces": {
			selectWeb + "ingress: [{from: [{ipBlock: {cidr: 172.16.0.0/16}}, {namespaceSelector: {}}, {podSelector: {matchLabels: {app: db}}}]}]",
			[]string{"warning two-dashes spec.ingress[0].from[2]"},
		},
		"one dash":                 {selectWeb + "ingress: [{from: [{namespaceSelector: {matchLabels: {team: ops}}, podSelector: {matchLabels: {app: prometheus}}}]}]", nil},
		"dead ingress rules":       {selectWeb + "policyTypes: [Egress], ingress: [{}], egress: [{}]", []string{"warning dead-rules spec.ingress"}},
		"dead egress rules":        {selectWeb + "policyTypes: [Ingress], egress: [{}]", []string{"warning dead-rules spec.egress"}},
		"no namespace matched":     {selectWeb + "ingress: [{from: [{namespaceSelector: {matchLabels: {name: watch}}}]}]", []string{"warning no-namespace-matched spec.ingress[0].from[0].namespaceSelector"}},
		"no peer matched":          {selectWeb + "ingress: [{from: [{podSelector: {matchLabels: {app: prometheus}}}]}]", []string{"warning no-peer-matched spec.ingress[0].from[0]"}},
		"a rule that allows all":   {selectWeb + "ingress: [{}, {ports: [{port: 8080}]}]", []string{"warning rule-allows-all spec.ingress[0]"}},
		"forgets DNS":              {selectWeb + "policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: db}}}], ports: [{port: 5432}]}]", []string{"warning no-dns spec.egress"}},
		"DNS over TCP only":        {selectWeb + "policyTypes: [Egress], egress: [{ports: [{port: 53}]}]", []string{"warning no-dns spec.egress"}},
		"DNS in a range":           {selectWeb + "policyTypes: [Egress], egress: [{ports: [{port: 1, endPort: 1024, protocol: UDP}]}]", nil},
		"all ports to the DNS":     {selectWeb + "policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}}]}]", nil},
		"all ports to another":     {selectWeb + "policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: db}}}]}]", []string{"warning no-dns spec.egress"}},
		"port 53 of another":       {selectWeb + "policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: db}}}], ports: [{port: 53, protocol: UDP}]}]", []string{"note undeclared-port spec.egress[0].ports[0].port", "warning no-dns spec.egress"}},
		"node-local DNS":           {selectWeb + "policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 169.254.20.10/32}}], ports: [{port: 53, protocol: UDP}]}]", nil},
		"default deny of egress":   {"podSelector: {}, policyTypes: [Egress]", []string{"note no-dns spec.egress"}},
		"a selector that is wrong": {"podSelector: {matchExpressions: [{key: a, operator: Is}]}", []string{"error not-understood spec.podSelector.matchExpressions[0].operator"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, _ := look(t, shop+np(test.spec))
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

// An unknown policy type isolates pods in both directions. So the ingress rule takes effect,
// and all egress is denied.
func TestCheckPolicyTypeInLowerCase(t *testing.T) {
	got, _ := look(t, shop+np("podSelector: {matchLabels: {app: web}}, policyTypes: [ingress], ingress: [{from: [{podSelector: {matchLabels: {app: db}}}]}]"))
	want := []string{"error not-understood spec.policyTypes[0]", "note no-dns spec.egress"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}

// A check counts a pod only once, even if two entries match the pod.
func TestCheckCountsPods(t *testing.T) {
	tests := map[string]struct{ spec, want string }{
		"one": {"ingress: [{ports: [{port: web}]}]", `no pod that the policy selects has a TCP port named "web": the entry allows nothing (0 of 1 pod)`},
		"two entries, one pod": {
			"egress: [{to: [{podSelector: {}}, {ipBlock: {cidr: 10.0.0.0/30}}], ports: [{port: sql}, {port: 53, protocol: UDP}]}]",
			`only some of the pods that the rule's peers match have a TCP port named "sql" (1 of 2 pods)`,
		},
		"several": {
			"egress: [{to: [{podSelector: {}}, {ipBlock: {cidr: 10.0.0.0/30}}], ports: [{port: web}, {port: 53, protocol: UDP}]}]",
			`no pod that the rule's peers match has a TCP port named "web": the entry allows nothing (0 of 2 pods)`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, findings := look(t, shop+np("podSelector: {matchLabels: {app: web}}, "+test.spec))
			if !slices.ContainsFunc(findings, func(f lint.Finding) bool { return fmt.Sprintf("%s (%s)", f.Message, f.Detail) == test.want }) {
				t.Errorf("findings %+v, want one with the message %s", findings, test.want)
			}
		})
	}
}

// If another policy for the same pods allows DNS, the check no-dns finds nothing.
func TestCheckUnitesPolicies(t *testing.T) {
	other := strings.Replace(np("podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: 53, protocol: UDP}]}]"), "name: p,", "name: dns,", 1)
	got, _ := look(t, shop+other+np("podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: db}}}], ports: [{port: 5432}]}]"))
	if len(got) > 0 {
		t.Errorf("findings %q, want none", got)
	}
}

// If the snapshot contains no pods and no namespaces, the checks that need pods or namespaces
// find nothing.
func TestCheckPoliciesAlone(t *testing.T) {
	got, _ := look(t, np("podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], ingress: [{}], egress: [{to: [{namespaceSelector: {}}, {podSelector: {matchLabels: {a: b}}}], ports: [{port: sql}]}]"))
	want := []string{"warning dead-rules spec.ingress", "warning two-dashes spec.egress[0].to[1]", "warning no-dns spec.egress"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}

func TestCheckMissingNamespaceObject(t *testing.T) {
	text := strings.Replace(shop, "kind: Namespace\nmetadata: {name: watch", "kind: Namespace\nmetadata: {name: wotch", 1)
	got, findings := look(t, text+np("podSelector: {matchLabels: {app: web}}, ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}}]}]"))
	if diff := cmp.Diff([]string{"note no-namespace-object"}, got); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	if len(findings) == 1 && findings[0].Namespace != "watch" {
		t.Errorf("finding %+v, want one of namespace watch", findings[0])
	}
}
