package lint_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicenet/sluice/manifest"
	"github.com/sluicenet/sluice/policy/lint"
)

// more contains pods with addresses of both families, in the host network and finished pods.
const more = shop + `
---
apiVersion: v1
kind: Pod
metadata: {name: both, namespace: shop, labels: {app: both}}
status: {phase: Running, podIP: 10.0.0.3, podIPs: [{ip: 10.0.0.3}, {ip: "fd00::3"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: proxy, namespace: kube-system, labels: {app: proxy}}
spec: {hostNetwork: true}
status: {phase: Running, podIP: 192.168.0.1, hostIP: 192.168.0.1}
`

// nodeLocal contains a DNS cache of a node.
const nodeLocal = `
---
apiVersion: v1
kind: Pod
metadata: {name: node-local-dns-1, namespace: kube-system, labels: {k8s-app: node-local-dns}}
spec: {hostNetwork: true}
status: {phase: Running, podIP: 192.168.0.1, hostIP: 192.168.0.1}
`

// TestMistakes checks each check for a common mistake with policies that have the mistake and with
// similar policies that do not.
func TestMistakes(t *testing.T) {
	const (
		selectWeb = "podSelector: {matchLabels: {app: web}}, "
		fromDB    = "from: [{podSelector: {matchLabels: {app: db}}}]"
		toDB      = "to: [{podSelector: {matchLabels: {app: db}}}]"
		egress    = selectWeb + "policyTypes: [Egress], "
		kubeDNS   = "to: [{namespaceSelector: {}, podSelector: {matchLabels: {k8s-app: kube-dns}}}]"
		inSystem  = "namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}"
	)
	all := "\n---\n" + strings.Replace(np("podSelector: {}, ingress: [{}]"), "name: p,", "name: all,", 1)
	openshift := strings.NewReplacer("{k8s-app: kube-dns}", "{dns.operator.openshift.io/daemonset-dns: default}", "name: dns, containerPort: 53,", "name: dns, containerPort: 5353,").Replace(more)
	tests := map[string]struct {
		objects string
		want    []string
	}{
		"split rule":                       {np(selectWeb + "ingress: [{" + fromDB + "}, {ports: [{port: 8080}]}]"), []string{"warning split-rule spec.ingress[1]"}},
		"split rule of egress":             {np(egress + "egress: [{" + kubeDNS + "}, {ports: [{port: 8080}]}]"), []string{"warning split-rule spec.egress[1]"}},
		"split rule among others":          {np(selectWeb + "ingress: [{" + fromDB + "}, {ports: [{port: 8080}]}, {" + fromDB + ", ports: [{port: 8080}]}]"), []string{"note split-rule spec.ingress[1]"}},
		"one rule":                         {np(selectWeb + "ingress: [{" + fromDB + ", ports: [{port: 8080}]}]"), nil},
		"ports before peers":               {np(selectWeb + "ingress: [{ports: [{port: 8080}]}, {" + fromDB + "}]"), nil},
		"a rule for DNS after peers":       {np(egress + "egress: [{" + toDB + "}, {ports: [{port: 53, protocol: UDP}, {port: 53}]}]"), nil},
		"empty to":                         {np(egress + "egress: [{to: , ports: [{port: 53, protocol: UDP}]}]"), []string{"warning empty-field spec.egress[0].to"}},
		"empty ports":                      {np(selectWeb + "ingress: [{" + fromDB + ", ports: []}]"), []string{"warning empty-field spec.ingress[0].ports"}},
		"missing from":                     {np(selectWeb + "ingress: [{ports: [{port: 8080}]}]"), nil},
		"missing port":                     {np(selectWeb + "ingress: [{" + fromDB + ", ports: [{protocol: UDP}]}]"), nil},
		"empty egress with a type":         {np(egress + "egress: []"), []string{"note no-dns spec.egress"}},
		"empty egress, other type":         {np(selectWeb + "policyTypes: [Ingress], ingress: [{" + fromDB + "}], egress: []"), []string{"warning empty-rules spec.egress"}},
		"empty ingress":                    {np(selectWeb + "ingress: []"), nil},
		"empty ingress, other type":        {np(egress + "ingress: [], egress: [{}]"), []string{"warning empty-rules spec.ingress"}},
		"allowed elsewhere":                {np(selectWeb+"ingress: [{"+fromDB+"}]") + all, []string{"warning allow-all-elsewhere spec.ingress"}},
		"allowed elsewhere, one direction": {np(selectWeb+"policyTypes: [Ingress, Egress], egress: [{"+kubeDNS+"}]") + all, []string{"note allow-all-elsewhere spec.ingress"}},
		"allowed elsewhere, other pods":    {np("podSelector: {}, ingress: [{"+fromDB+"}]") + strings.Replace(all, "podSelector: {}", "podSelector: {matchLabels: {app: web}}", 1), nil},
		"allowed elsewhere, on a port":     {np(selectWeb+"ingress: [{"+fromDB+"}]") + strings.Replace(all, "ingress: [{}]", "ingress: [{ports: [{port: 8080}]}]", 1), nil},
		"allowed by both":                  {np("podSelector: {}, ingress: [{}]") + all, nil},
		"0.0.0.0/0 for IPv4 pods":          {np(selectWeb + "ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}]}]"), nil},
		"0.0.0.0/0 for pods with both":     {np("podSelector: {matchLabels: {app: both}}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}]}]"), []string{"warning one-family spec.ingress[0].from[0].ipBlock.cidr"}},
		"::/0 for pods with both":          {np("podSelector: {matchLabels: {app: both}}, ingress: [{from: [{ipBlock: {cidr: '::/0', except: ['fd00::/8']}}]}]"), []string{"warning one-family spec.ingress[0].from[0].ipBlock.cidr"}},
		"both families": {
			np("podSelector: {matchLabels: {app: both}}, ingress: [{from: [{ipBlock: {cidr: '::/0', except: ['fd00::/8']}}]}, {from: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}]}]"), nil,
		},
		"a smaller block":                 {np("podSelector: {matchLabels: {app: both}}, ingress: [{from: [{ipBlock: {cidr: 172.16.0.0/12}}]}]"), nil},
		"peer in the host network":        {np(selectWeb + "ingress: [{from: [{" + inSystem + ", podSelector: {matchLabels: {app: proxy}}}]}]"), []string{"warning host-network-peer spec.ingress[0].from[0]"}},
		"peer in the host network, local": {np(selectWeb + "ingress: [{from: [{podSelector: {matchLabels: {app: agent}}}]}]"), []string{"warning host-network-peer spec.ingress[0].from[0]"}},
		"peers of both kinds":             {np(selectWeb + "ingress: [{from: [{" + inSystem + "}]}]"), nil},
		"Deny of pods in the host network": {cnp("a", "Admin", 1, "", egressOf("Deny", "{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: proxy}}}}")), []string{
			"warning host-network-peer spec.egress[0].to[0]",
		}},
		"finished pods as peers":           {np(selectWeb + "ingress: [{from: [{podSelector: {matchLabels: {app: job}}}]}]"), []string{"note runs-sometimes spec.ingress[0].from[0]"}},
		"finished and running pods":        {np(selectWeb + "ingress: [{from: [{podSelector: {matchExpressions: [{key: app, operator: In, values: [job, db]}]}}]}]"), nil},
		"DNS in a block":                   {np(egress + "egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}]}]"), []string{"note block-of-pod spec.egress[0].to[0].ipBlock.cidr"}},
		"DNS in an except":                 {np(egress + "egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}]}]"), []string{"warning no-dns spec.egress"}},
		"DNS in an except, with port 53":   {np(egress + "egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}], ports: [{port: 53, protocol: UDP}]}]"), []string{"warning no-dns spec.egress"}},
		"a public DNS server":              {np(egress + "egress: [{to: [{ipBlock: {cidr: 192.0.2.1/32}}], ports: [{port: 53, protocol: UDP}]}]"), nil},
		"the port of the DNS Service":      {openshiftPart + np(egress+"egress: [{to: [{namespaceSelector: {}}], ports: [{port: 53, protocol: UDP}]}]"), []string{"warning no-dns spec.egress"}},
		"the port of the DNS pods":         {openshiftPart + np(egress+"egress: [{to: [{namespaceSelector: {}}], ports: [{port: 5353, protocol: UDP}]}]"), nil},
		"the name of the port of DNS pods": {openshiftPart + np(egress+"egress: [{to: [{namespaceSelector: {}}], ports: [{port: dns, protocol: UDP}]}]"), []string{"note port-of-some spec.egress[0].ports[0].port"}},
		"another port of DNS pods":         {np(egress + "egress: [{to: [{namespaceSelector: {}}], ports: [{port: 5353, protocol: UDP}]}]"), []string{"warning no-dns spec.egress"}},
		"labels of another resolver":       {openshiftPart + np(egress+"egress: [{"+kubeDNS+", ports: [{port: 5353, protocol: UDP}]}]"), []string{"warning no-peer-matched spec.egress[0].to[0]", "warning no-dns spec.egress"}},
		"node-local DNS, pods only":        {nodeLocal + np(egress+"egress: [{"+kubeDNS+", ports: [{port: 53, protocol: UDP}]}]"), []string{"warning no-dns spec.egress"}},
		"node-local DNS, address":          {nodeLocal + np(egress+"egress: [{"+kubeDNS+"}, {to: [{ipBlock: {cidr: 169.254.20.10/32}}], ports: [{port: 53, protocol: UDP}]}]"), nil},
		"node-local DNS, all peers":        {nodeLocal + np(egress+"egress: [{ports: [{port: 53, protocol: UDP}]}]"), nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			objects, base := test.objects, more
			if rest, ok := strings.CutPrefix(objects, openshiftPart); ok {
				objects, base = rest, openshift
			}
			got, _ := look(t, base+objects)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

// openshiftPart marks tests with DNS servers that have the labels and the port of OpenShift.
const openshiftPart = "# OpenShift\n"

func egressOf(action, to string) string { return rule("egress", action, "to", to, "") }

// TestDNSCauses checks that the finding no-dns names the cause and the DNS servers of the cluster.
func TestDNSCauses(t *testing.T) {
	const egress = "podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: "
	openshift := strings.NewReplacer("{k8s-app: kube-dns}", "{dns.operator.openshift.io/daemonset-dns: default}", "name: dns, containerPort: 53,", "name: dns, containerPort: 5353,").Replace(shop)
	tests := map[string]struct{ objects, cause, fix string }{
		"TCP":        {shop + np(egress+"[{ports: [{port: 53}]}]"), "egress[0] allows port 53 only over TCP", "add protocol: UDP"},
		"except":     {shop + np(egress+"[{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}]}]"), "the excepts of egress[0] contain the addresses of the DNS servers", "UDP and TCP port 53 to pods k8s-app=kube-dns in namespace kube-system"},
		"port":       {openshift + np(egress+"[{to: [{namespaceSelector: {}}], ports: [{port: 53, protocol: UDP}]}]"), "the DNS servers listen on port 5353, which egress[0] does not allow", "UDP and TCP port 5353 to pods dns.operator.openshift.io/daemonset-dns=default"},
		"peer":       {shop + np(egress+"[{to: [{podSelector: {}}], ports: [{port: 53, protocol: UDP}]}]"), "no peer of egress[0] is a DNS server of this cluster", "to pods k8s-app=kube-dns"},
		"node-local": {shop + nodeLocal + np(egress+"[{to: [{namespaceSelector: {}}]}]"), "the DNS cache of their node", "ipBlock: {cidr: 169.254.20.10/32}"},
		"other":      {shop + np(egress+"[{to: [{podSelector: {}}], ports: [{port: 8080}]}]"), "cannot resolve names", "to pods k8s-app=kube-dns"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, findings := look(t, test.objects)
			findings = slices.DeleteFunc(findings, func(f lint.Finding) bool { return f.Check != "no-dns" })
			if len(findings) != 1 || !strings.Contains(findings[0].Message, test.cause) || !strings.Contains(findings[0].Fix, test.fix) {
				t.Errorf("findings %+v, want one with the cause %q and the fix %q", findings, test.cause, test.fix)
			}
		})
	}
}

// TestPartial checks that findings about missing objects are notes if objects can be missing in the
// input, and that other findings are not.
func TestPartial(t *testing.T) {
	set, err := manifest.Read([]string{"-"}, strings.NewReader(shop+np("podSelector: {matchLabels: {app: wbe}}, policyTypes: [Ingress], egress: [{}]")))
	if err != nil {
		t.Fatal(err)
	}
	in := inputOf(set)
	in.Partial = true
	var got []string
	for _, f := range lint.Run(in) {
		got = append(got, string(f.Severity)+" "+f.Check)
	}
	if diff := cmp.Diff([]string{"note no-pod-selected", "warning dead-rules"}, got); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}
