package lint_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// cnp returns a ClusterNetworkPolicy in YAML. If the `subject` parameter is empty, the policy
// selects the pods of the namespaces with the label team=shop.
func cnp(name, tier string, priority int, subject, rules string) string {
	if subject == "" {
		subject = "namespaces: {matchLabels: {team: shop}}"
	}
	return fmt.Sprintf("---\napiVersion: policy.networking.k8s.io/v1beta1\nkind: ClusterNetworkPolicy\nmetadata: {name: %s}\nspec: {tier: %s, priority: %d, subject: {%s}, %s}\n",
		name, tier, priority, subject, rules)
}

// These are peers of rules.
const (
	all        = "{namespaces: {}}"
	ops        = "{namespaces: {matchLabels: {team: ops}}}"
	prometheus = "{pods: {namespaceSelector: {matchLabels: {team: ops}}, podSelector: {matchLabels: {app: prometheus}}}}"
	dnsPods    = "{pods: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}, podSelector: {matchLabels: {k8s-app: kube-dns}}}}"
	external   = "{networks: [172.16.0.0/12]}"
)

const (
	dnsPorts = "protocols: [{udp: {destinationPort: {number: 53}}}, {tcp: {destinationPort: {number: 53}}}]"
	http     = "protocols: [{tcp: {destinationPort: {number: 80}}}]"
)

func ingress(action, from, more string) string { return rule("ingress", action, "from", from, more) }
func egress(action, to, more string) string    { return rule("egress", action, "to", to, more) }

// rule returns the field `ingress` or `egress` of a policy, with one rule.
func rule(direction, action, list, peers, more string) string {
	return fmt.Sprintf("%s: [{action: %s, %s: [%s], %s}]", direction, action, list, peers, more)
}

// join returns the field `ingress` or `egress` with the rules of several such fields.
func join(lists ...string) string {
	return strings.Join(lists[:1], "")[:len(lists[0])-1] + ", " + strings.TrimSuffix(strings.SplitN(strings.Join(lists[1:], ""), "[", 2)[1], "]") + "]"
}

func TestCheckTiers(t *testing.T) {
	shopIsolated := np("podSelector: {}")
	tests := map[string]struct {
		policies string
		want     []string
	}{
		"nothing wrong": {cnp("a", "Admin", 1, "", ingress("Deny", ops, "")), nil},
		"a part that is not understood": {
			cnp("a", "Admin", 1, "", ingress("Deny", "{services: {}}", "")),
			[]string{"error not-understood spec.ingress[0].from[0].services"},
		},
		"the subject selects no pod": {
			cnp("a", "Admin", 1, "namespaces: {matchLabels: {team: none}}", ingress("Deny", ops, "")),
			[]string{"warning no-pod-selected spec.subject"},
		},
		"the subject selects only pods in the host network": {
			cnp("a", "Admin", 1, "pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: agent}}}", ingress("Deny", ops, "")),
			[]string{"warning no-pod-selected spec.subject"},
		},
		"no namespace matches a peer": {
			cnp("a", "Admin", 1, "", ingress("Deny", "{namespaces: {matchLabels: {team: none}}}", "")),
			[]string{"warning no-namespace-matched spec.ingress[0].from[0].namespaces"},
		},
		"no namespace matches a peer with pods": {
			cnp("a", "Admin", 1, "", ingress("Deny", "{pods: {namespaceSelector: {matchLabels: {team: none}}, podSelector: {}}}", "")),
			[]string{"warning no-namespace-matched spec.ingress[0].from[0].pods.namespaceSelector"},
		},
		"no pod matches a peer": {
			cnp("a", "Admin", 1, "", ingress("Deny", "{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: none}}}}", "")),
			[]string{"warning no-peer-matched spec.ingress[0].from[0]"},
		},
		"a port name that pods define for UDP": {cnp("a", "Admin", 1, "", ingress("Deny", ops, "protocols: [{destinationNamedPort: stats}]")), []string{
			"note port-of-some spec.ingress[0].protocols[0].destinationNamedPort",
		}},
		"a port name that no pod defines": {cnp("a", "Admin", 1, "", ingress("Deny", ops, "protocols: [{destinationNamedPort: https}]")), []string{
			"warning no-such-port spec.ingress[0].protocols[0].destinationNamedPort",
		}},
		"nodes are no pods": {cnp("a", "Admin", 1, "", egress("Deny", "{nodes: {}}", "protocols: [{destinationNamedPort: http}]")), nil},

		"S78 equal priority, other actions": {
			cnp("a", "Admin", 1, "", ingress("Accept", prometheus, "")) + cnp("b", "Admin", 1, "", ingress("Deny", ops, http)),
			[]string{"warning same-priority spec.ingress[0]"},
		},
		"equal priority, a network with a pod": {
			cnp("a", "Admin", 1, "", egress("Accept", "{networks: [10.0.1.1/32]}", http)) + cnp("b", "Admin", 1, "", egress("Pass", ops, http)),
			[]string{"warning network-of-pods spec.egress[0].to[0].networks", "warning same-priority spec.egress[0]"},
		},
		"equal priority, equal actions": {
			cnp("a", "Admin", 1, "", ingress("Deny", prometheus, "")) + cnp("b", "Admin", 1, "", ingress("Deny", ops, http)), nil,
		},
		"equal priority, other ports": {
			cnp("a", "Admin", 1, "", ingress("Accept", ops, http)) + cnp("b", "Admin", 1, "", ingress("Deny", ops, dnsPorts)), nil,
		},
		"equal priority, other peers": {
			cnp("a", "Admin", 1, "", egress("Accept", external, "")) + cnp("b", "Admin", 1, "", egress("Deny", "{networks: [192.0.2.0/24]}, {nodes: {}}", "")), nil,
		},
		"equal priority, other subjects": {
			cnp("a", "Admin", 1, "", ingress("Accept", prometheus, "")) + cnp("b", "Admin", 1, "namespaces: {matchLabels: {team: ops}}", ingress("Deny", ops, "")), nil,
		},
		"equal priority, other tiers": {
			cnp("a", "Admin", 1, "", ingress("Accept", prometheus, "")) + cnp("b", "Baseline", 1, "", ingress("Deny", ops, "")), nil,
		},
		"equal priority, other directions": {
			cnp("a", "Admin", 1, "", ingress("Accept", prometheus, "")) + cnp("b", "Admin", 1, "", egress("Deny", ops, "")), nil,
		},

		"a shadowed rule": {
			cnp("a", "Admin", 1, "", join(ingress("Deny", ops, ""), ingress("Accept", prometheus, http))),
			[]string{"warning shadowed-rule spec.ingress[1]"},
		},
		"a rule that is shadowed by another policy": {
			cnp("b", "Admin", 1, "namespaces: {}", ingress("Pass", ops, "")) + cnp("a", "Admin", 2, "", ingress("Deny", prometheus, "")),
			[]string{"warning shadowed-rule spec.ingress[0]"},
		},
		"a rule that an earlier rule repeats": {
			cnp("a", "Admin", 1, "", join(ingress("Deny", ops, ""), ingress("Deny", prometheus, ""))),
			[]string{"note shadowed-rule spec.ingress[1]"},
		},
		"a rule after a narrower rule": {cnp("a", "Admin", 1, "", join(ingress("Accept", prometheus, ""), ingress("Deny", ops, ""))), nil},
		"a rule after a rule for fewer pods": {
			cnp("a", "Admin", 1, "", ingress("Accept", ops, "")) + cnp("b", "Admin", 2, "namespaces: {matchExpressions: [{key: team, operator: Exists}]}", ingress("Deny", ops, "")), nil,
		},
		"a rule after a rule of another tier": {cnp("a", "Admin", 1, "", ingress("Accept", ops, "")) + cnp("b", "Baseline", 1, "", ingress("Deny", ops, "")), nil},
		"a rule after a rule that matches nothing": {
			cnp("a", "Admin", 1, "", join(egress("Accept", "{domainNames: [example.com]}", ""), egress("Deny", ops, ""))),
			[]string{"error not-understood spec.egress[0].to[0].domainNames"},
		},

		"S72 a Baseline rule that is never evaluated": {
			shopIsolated + cnp("a", "Baseline", 1, "", ingress("Deny", ops, "")),
			[]string{"note baseline-unreached spec.ingress"},
		},
		"a Baseline rule for some pods": {
			np("podSelector: {matchLabels: {app: web}}") + cnp("a", "Baseline", 1, "", ingress("Deny", ops, "")), nil,
		},
		"a Baseline rule of the other direction": {shopIsolated + cnp("a", "Baseline", 1, "", egress("Deny", ops, "")), nil},
		"an Admin rule for isolated pods":        {shopIsolated + cnp("a", "Admin", 1, "", ingress("Deny", ops, "")), nil},

		"a Deny of DNS":                     {cnp("a", "Admin", 1, "", egress("Deny", all, "")), []string{"warning deny-of-dns spec.egress[0]"}},
		"a Deny of DNS by a network":        {cnp("a", "Admin", 1, "", egress("Deny", "{networks: [0.0.0.0/0]}", "")), []string{"warning deny-of-dns spec.egress[0]", "note network-of-pods spec.egress[0].to[0].networks"}},
		"a Deny after DNS is accepted":      {cnp("a", "Admin", 1, "", join(egress("Accept", dnsPods, dnsPorts), egress("Deny", all, ""))), nil},
		"a Deny after DNS is passed":        {cnp("b", "Admin", 1, "", egress("Pass", dnsPods, dnsPorts)) + cnp("a", "Admin", 2, "", egress("Deny", all, "")), nil},
		"a Deny before DNS is accepted":     {cnp("a", "Admin", 1, "", join(egress("Deny", all, "protocols: [{udp: {destinationPort: {range: {start: 1, end: 1000}}}}]"), egress("Accept", dnsPods, dnsPorts))), []string{"warning deny-of-dns spec.egress[0]"}},
		"a Deny of other ports":             {cnp("a", "Admin", 1, "", egress("Deny", all, http)), nil},
		"a Deny of other pods":              {cnp("a", "Admin", 1, "", egress("Deny", ops, "")), nil},
		"a Deny of nodes":                   {cnp("a", "Admin", 1, "", egress("Deny", "{nodes: {}}", "")), nil},
		"a Baseline Deny of DNS":            {cnp("a", "Baseline", 1, "", egress("Deny", all, "")), []string{"warning deny-of-dns spec.egress[0]"}},
		"a Baseline Deny, DNS in Admin":     {cnp("b", "Admin", 1, "", egress("Accept", dnsPods, dnsPorts)) + cnp("a", "Baseline", 1, "", egress("Deny", all, "")), nil},
		"a Baseline Deny, DNS in no policy": {cnp("b", "Admin", 1, "", egress("Pass", dnsPods, dnsPorts)) + cnp("a", "Baseline", 1, "", egress("Deny", all, "")), []string{"warning deny-of-dns spec.egress[0]"}},
		"a Baseline Deny and isolated pods": {np("podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: 53, protocol: UDP}]}]") + cnp("a", "Baseline", 1, "", egress("Deny", all, "")), []string{"note baseline-unreached spec.egress"}},
		"a Deny of ingress to DNS servers":  {cnp("a", "Admin", 1, "pods: {namespaceSelector: {}, podSelector: {matchLabels: {k8s-app: kube-dns}}}", ingress("Deny", ops, "")), []string{"warning deny-of-dns spec.ingress[0]"}},
		"a Deny of metrics of DNS servers":  {cnp("a", "Admin", 1, "pods: {namespaceSelector: {}, podSelector: {matchLabels: {k8s-app: kube-dns}}}", ingress("Deny", ops, http)), nil},
		"a NetworkPolicy and DNS in Admin":  {np("podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{ports: [{port: 80}]}]") + cnp("a", "Admin", 1, "", egress("Accept", dnsPods, dnsPorts)), nil},
		"a NetworkPolicy and DNS in a Pass": {np("podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{ports: [{port: 80}]}]") + cnp("a", "Admin", 1, "", egress("Pass", dnsPods, dnsPorts)), []string{"warning no-dns spec.egress"}},
		"a network with pods":               {cnp("a", "Admin", 1, "", egress("Accept", "{networks: [10.0.0.0/8]}", "")), []string{"note network-of-pods spec.egress[0].to[0].networks"}},
		"a network that is a pod":           {cnp("a", "Admin", 1, "", egress("Accept", external+", {networks: [10.0.0.2/32]}", "")), []string{"warning network-of-pods spec.egress[0].to[1].networks"}},
		"a network and all pods in a rule":  {cnp("a", "Baseline", 1, "", egress("Deny", all+", {networks: [10.0.0.0/8]}", http)), nil},
		"a network after a rule for pods":   {cnp("a", "Admin", 1, "", join(egress("Pass", all, ""), egress("Deny", "{networks: [10.0.0.0/8]}", http))), nil},
		"a network after a rule for other ports": {
			cnp("a", "Admin", 1, "", join(egress("Pass", all, dnsPorts), egress("Deny", "{networks: [10.0.0.0/8]}", http))),
			[]string{"note network-of-pods spec.egress[1].to[0].networks"},
		},
		"a network without pods":             {cnp("a", "Admin", 1, "", egress("Accept", external, "")), nil},
		"S81 every pod is queued":            {cnp("a", "Admin", 1, "namespaces: {}", ingress("Deny", ops, http)), []string{"note every-pod-queued spec.subject"}},
		"every pod without empty selectors":  {cnp("a", "Admin", 1, "pods: {namespaceSelector: {}, podSelector: {matchExpressions: [{key: none, operator: DoesNotExist}]}}", ingress("Deny", ops, http)), []string{"note every-pod-queued spec.subject"}},
		"S81 every pod, only Accept":         {cnp("a", "Admin", 1, "namespaces: {}", ingress("Accept", ops, http)), nil},
		"some pods can be denied":            {cnp("a", "Admin", 1, "", ingress("Deny", ops, http)), nil},
		"a rule that denies all fails safe":  {cnp("a", "Admin", 1, "", "ingress: [{action: Deny, from: [], name: x}, {action: Deny, from: [{namespaces: {}}]}]"), []string{"error not-understood spec.ingress[0].from", "note shadowed-rule spec.ingress[1]"}},
		"checks of NetworkPolicies, in vain": {cnp("a", "Admin", 1, "", ingress("Accept", "{namespaces: {matchLabels: {team: ops}}}, {pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: db}}}}", "")), nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, _ := look(t, shop+test.policies)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

// TestCheckTiersWithoutPods checks that policies are also compared if the input contains no pods.
func TestCheckTiersWithoutPods(t *testing.T) {
	got, _ := look(t, cnp("a", "Admin", 1, "namespaces: {}", ingress("Accept", prometheus, ""))+cnp("b", "Admin", 1, "", ingress("Deny", all, "")))
	want := []string{"warning same-priority spec.ingress[0]"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}

func TestCheckTiersNamesTheOtherRule(t *testing.T) {
	_, findings := look(t, shop+cnp("first", "Admin", 1, "", "ingress: [{name: watch, action: Deny, from: ["+ops+"]}]")+cnp("second", "Admin", 2, "", ingress("Accept", prometheus, "")))
	const want = `rule "watch" (ingress[0]) of policy first with action Deny is evaluated before this rule and matches all its flows: this rule has no effect`
	if len(findings) != 1 || findings[0].Message != want || findings[0].Policy != "second" || findings[0].Namespace != "" {
		t.Errorf("findings %+v, want the message %s", findings, want)
	}
}
