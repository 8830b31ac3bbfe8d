package lint_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sluicenet/sluice/manifest"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/lint"
	"github.com/sluicenet/sluice/policy/read"
	"github.com/sluicenet/sluice/test/cluster"
)

// namespaceOf returns the objects of one namespace.
func namespaceOf(name string, s *policy.Snapshot) lint.Namespace {
	var out lint.Namespace
	for _, n := range s.Namespaces() {
		if n.Name == name {
			out.Object = &n
		}
	}
	for _, p := range s.Pods() {
		if p.Namespace == name {
			out.Pods = append(out.Pods, &p)
		}
	}
	for _, p := range s.Policies() {
		if p.Scope == name {
			out.Policies = append(out.Policies, p)
		}
	}
	return out
}

// TestNamespaceFindsNothingElse checks that RunNamespace reports only findings that Run reports,
// too. RunNamespace reads the objects of only one namespace, and must not report wrong findings
// because of this.
func TestNamespaceFindsNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		objects := cluster.NewRandom(func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "choice") })
		s := policy.NewSnapshot()
		for _, n := range objects.Namespaces {
			s.UpsertNamespace(policy.ReadNamespace(n))
		}
		for _, p := range objects.Pods {
			pod, _ := policy.ReadPod(p)
			s.UpsertPod(pod)
		}
		for _, np := range objects.Policies {
			p, _ := read.NetworkPolicy(np)
			s.UpsertPolicy(p)
		}
		if len(objects.Pods) == 0 {
			return
		}
		all := lint.Run(lint.Input{Snapshot: s})
		for _, name := range []string{"red", "blue", "default", "ghost"} {
			found, err := lint.RunNamespace(namespaceOf(name, s))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range found {
				if !slices.ContainsFunc(all, func(g lint.Finding) bool { return g.Policy == f.Policy && g.Check == f.Check && g.Field == f.Field }) {
					t.Fatalf("only RunNamespace finds %+v in\n%s", f, objects)
				}
			}
		}
	})
}

// TestNamespaceScope checks the findings of RunNamespace for policies about which Run has findings.
// Findings of RunNamespace must name only pods of the policy's namespace.
func TestNamespaceScope(t *testing.T) {
	const selectWeb = "podSelector: {matchLabels: {app: web}}, "
	tests := map[string]struct {
		spec string
		want []string
	}{
		"address of another namespace":  {selectWeb + "ingress: [{from: [{ipBlock: {cidr: 10.0.1.1/32}}]}]", nil},
		"addresses of all namespaces":   {selectWeb + "ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}}]}]", []string{"block-of-pod spec.ingress[0].from[0].ipBlock.cidr"}},
		"address of the same namespace": {selectWeb + "ingress: [{from: [{ipBlock: {cidr: 10.0.0.2/32}}]}]", []string{"block-of-pod spec.ingress[0].from[0].ipBlock.cidr"}},
		"label of another namespace":    {"podSelector: {matchLabels: {app: prometheus}}", []string{"no-pod-selected spec.podSelector"}},
		"peer of another namespace":     {selectWeb + "ingress: [{from: [{podSelector: {matchLabels: {app: prometheus}}}]}]", []string{"no-peer-matched spec.ingress[0].from[0]"}},
		"no such namespace":             {selectWeb + "ingress: [{from: [{namespaceSelector: {matchLabels: {name: watch}}}]}]", nil},
		"no such pod elsewhere":         {selectWeb + "ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: nothing}}}]}]", nil},
		"two dashes and the pod is elsewhere": {
			selectWeb + "ingress: [{from: [{ipBlock: {cidr: 172.16.0.0/16}}, {namespaceSelector: {matchLabels: {team: ops}}}, {podSelector: {matchLabels: {app: prometheus}}}]}]",
			[]string{"no-peer-matched spec.ingress[0].from[2]", "two-dashes spec.ingress[0].from[2]"},
		},
		"port of other namespaces":  {selectWeb + "policyTypes: [Egress], egress: [{ports: [{port: nothing}]}, {ports: [{port: 53, protocol: UDP}]}]", nil},
		"port of a namespace":       {selectWeb + "policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {team: ops}}}], ports: [{port: nothing}]}, {ports: [{port: 53, protocol: UDP}]}]", nil},
		"port of a block":           {selectWeb + "policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.0.2.0/24}}], ports: [{port: nothing}]}, {ports: [{port: 53, protocol: UDP}]}]", nil},
		"port of the own namespace": {selectWeb + "policyTypes: [Egress], egress: [{to: [{podSelector: {}}], ports: [{port: nothing}]}, {ports: [{port: 53, protocol: UDP}]}]", []string{"no-such-port spec.egress[0].ports[0].port"}},
		"DNS server by namespace":   {selectWeb + "policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {team: ops}}}]}]", nil},
		"DNS server by address":     {selectWeb + "policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.0.2.1/32}}]}]", nil},
		"no DNS":                    {selectWeb + "policyTypes: [Egress], egress: [{to: [{podSelector: {}}]}]", []string{"no-dns spec.egress"}},
		"default deny":              {"podSelector: {}, policyTypes: [Egress]", []string{"no-dns spec.egress"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			set, err := manifest.Read([]string{"-"}, strings.NewReader(shop+np(test.spec)))
			if err != nil {
				t.Fatal(err)
			}
			findings, err := lint.RunNamespace(namespaceOf("shop", set.Snapshot()))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range findings {
				got = append(got, f.Check+" "+f.Field)
				for _, secret := range []string{"watch", "prometheus-", "coredns", "kube-system/", "2 more"} {
					if strings.Contains(f.Message+f.Detail, secret) {
						t.Errorf("finding %+v contains %q", f, secret)
					}
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

// TestStartingPodChangesNoFinding checks that findings do not change when another pod with the same
// labels and ports starts. The policies have a wide block, a named port, or no rule for DNS.
func TestStartingPodChangesNoFinding(t *testing.T) {
	specs := []string{
		"podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}}]}]",
		"podSelector: {}, ingress: [{ports: [{port: http}]}, {ports: [{port: nothing}]}]",
		"podSelector: {}, policyTypes: [Egress], egress: [{to: [{podSelector: {}}]}]",
		"podSelector: {matchLabels: {app: agent}}",
	}
	const started = `
---
apiVersion: v1
kind: Pod
metadata: {name: a-new-pod, namespace: shop, labels: {app: web}}
spec: {containers: [{ports: [{name: http, containerPort: 8080}]}]}
status: {phase: Running, podIP: 10.0.0.200}
---
apiVersion: v1
kind: Pod
metadata: {name: a-new-agent, namespace: shop, labels: {app: agent}}
spec: {hostNetwork: true}
status: {phase: Running, podIP: 192.168.0.2, hostIP: 192.168.0.2}
`
	for _, spec := range specs {
		t.Run(spec, func(t *testing.T) {
			var results [2][]lint.Finding
			for i, text := range []string{shop + np(spec), shop + np(spec) + started} {
				set, err := manifest.Read([]string{"-"}, strings.NewReader(text))
				if err != nil {
					t.Fatal(err)
				}
				results[i], _ = lint.RunNamespace(namespaceOf("shop", set.Snapshot()))
			}
			if len(results[0]) == 0 || !slices.Equal(results[0], results[1]) {
				t.Errorf("findings %+v became %+v", results[0], results[1])
			}
		})
	}
}
