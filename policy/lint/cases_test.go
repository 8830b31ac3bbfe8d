package lint_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// reportedCases contains the expected findings for inputs after public bug reports. The file
// testdata/README.md names the reports. Each finding is "severity check policy field: text", where the
// text must be a part of the message or of the fix.
var reportedCases = map[string][]string{
	"internet-only-loses-dns": {
		"warning no-dns sandbox/internet-only spec.egress: the excepts of egress[0] contain the addresses of the DNS servers",
	},
	"host-network-peer": {
		"warning host-network-peer shop/by-namespace spec.ingress[0].from[0]: cidr: 192.168.0.1/32 for pod ingress/controller-n1",
		"warning host-network-peer shop/by-namespace-and-pod spec.ingress[0].from[0]: are in the host network",
		"warning host-network-peer shop/to-api spec.egress[0].to[0]: cidr: 192.168.0.2/32 for pod kube-system/kube-apiserver-n2",
	},
	"empty-from-of-a-template": {
		"warning empty-field shop/from-empty-list spec.ingress[0].from: from has no value: the rule allows every source",
		"warning empty-field shop/from-null spec.ingress[0].from: remove the field if every source is meant",
		"warning empty-field shop/port-null spec.ingress[0].ports[0].port: port has no value: the entry allows every UDP port",
	},
	"cronjob-between-runs": {
		"note runs-sometimes shop/db spec.ingress[0].from[0]: it matches when such pods run, for example the pods of CronJob nightly",
		"note runs-sometimes shop/nightly spec.podSelector: the policy applies when such pods run, for example the pods of CronJob nightly",
	},
	"helm-rendered-no-pods": {
		"warning no-such-port default/shop-web spec.ingress[0].ports[0].port: they have http; correct the name",
	},
	"pod-and-deployment": nil,
	"service-address-as-peer": {
		"warning service-address shop/op spec.egress[0].to[0].ipBlock.cidr: allow the addresses of the backends, such as ipBlock: {cidr: 192.168.0.10/32}; allow TCP 6443 instead of 443",
		"warning service-address shop/op spec.egress[1].to[0].ipBlock.cidr: namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}, podSelector: {matchLabels: {k8s-app: kube-dns}}",
		"warning no-dns shop/op spec.egress: egress[1] allows 10.96.0.10, the address of the DNS Service kube-system/kube-dns",
	},
	"service-port-not-pod-port": {
		"warning service-port shop/db spec.ingress[0].ports[0].port: write port: 8080, the port of the pods",
	},
	"dual-stack-v4-only": {
		"note block-of-pod shop/web spec.ingress[0].from[0].ipBlock.cidr: also contains the addresses of pods",
		"warning one-family shop/web spec.ingress[0].from[0].ipBlock.cidr: add an entry with ipBlock: {cidr: ::/0}",
	},
	"egress-empty-without-types": {
		"warning empty-rules shop/deny-egress spec.egress: add policyTypes: [Egress]",
	},
	"lower-case-policy-type": {
		"error not-understood shop/p spec.policyTypes[0]: want Ingress or Egress",
		"note no-dns shop/p spec.egress: the policy denies all egress",
	},
	"words-and-numbers": {
		"note no-namespace-object  : add the Namespace object",
		"error not-understood shop/a-ports spec.ingress[0].ports[0].port: write port: 8080, without quotes",
		"error not-understood shop/a-ports spec.ingress[1].ports[0].port: write port: 8000 and endPort: 9000",
		"error not-understood shop/a-ports spec.ingress[2].ports[0].port: write port: 80 and protocol: TCP",
		"error not-understood shop/a-ports spec.ingress[3].ports[0].protocol: write TCP, in upper case",
		"error not-understood shop/a-ports spec.ingress[4].ports[0].protocol: only a rule without ports allows ICMP",
		"error not-understood shop/a-ports spec.ingress[5].ports[0].protocol: a rule without ports allows every protocol",
		"error not-understood shop/a-ports spec.ingress[6].ports[0].port: want 1 to 65535",
		"error not-understood shop/a-ports spec.ingress[7].ports[0].port: at most 15 characters",
		"error not-understood shop/b-blocks spec.ingress[0].from[0].ipBlock.cidr: write 10.0.0.5/32",
		"error not-understood shop/b-blocks spec.ingress[1].from[0].ipBlock.cidr: write the addresses of the name as CIDRs",
		"error not-understood shop/b-blocks spec.ingress[2].from[0].ipBlock.cidr: write one entry for each CIDR",
		"error not-understood shop/b-blocks spec.ingress[3].from[0].ipBlock.cidr: one entry for each CIDR of the range",
		"error not-understood shop/b-blocks spec.ingress[4].from[0].ipBlock.cidr: 10.0.0.0/8",
		"error not-understood shop/b-blocks spec.ingress[5].from[0].ipBlock.cidr: an entry with ::/0 for IPv6",
		"error not-understood shop/b-blocks spec.ingress[6].from[0].ipBlock.cidr: such as 10.0.0.0/8",
		"error not-understood shop/c-selectors spec.policyTypes[0]: want Ingress or Egress",
		"error not-understood shop/c-selectors spec.ingress[0].from[0].podSelector.matchLabels[app]: {key: app, operator: Exists}",
		"error not-understood shop/c-selectors spec.ingress[1].from[0].namespaceSelector.matchLabels[name]: {key: name, operator: In, values: [a, b]}",
		"error not-understood shop/c-selectors spec.ingress[2].from[0].podSelector.matchExpressions[0].operator: want In, NotIn",
		"error not-understood shop/c-selectors spec.ingress[3].from[0].podSelector.matchExpressions[0]: values is empty: list at least one value",
		"error not-understood shop/c-selectors spec.ingress[4].from[0].podSelector.matchExpressions[0].operator: write In",
		"note no-dns shop/c-selectors spec.egress: the policy denies all egress",
	},
}

// TestReportedCases checks that the findings about each case name its cause and its fix, and that there
// are no other findings.
func TestReportedCases(t *testing.T) {
	for name, want := range reportedCases {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile("testdata/" + name + ".yaml")
			if err != nil {
				t.Fatal(err)
			}
			_, findings := look(t, string(text))
			var got []string
			for i, f := range findings {
				place := strings.Join([]string{string(f.Severity), f.Check, f.Policy, f.Field}, " ")
				if i < len(want) {
					if p, part, _ := strings.Cut(want[i], ": "); p == place && strings.Contains(f.Message+" "+f.Fix, part) {
						place = want[i]
					}
				}
				if place != wantAt(want, i) {
					place += ": " + f.Message + "; " + f.Fix
				}
				got = append(got, place)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

func wantAt(want []string, i int) string {
	if i < len(want) {
		return want[i]
	}
	return ""
}
