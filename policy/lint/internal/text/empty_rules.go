package text

import (
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy/lint/internal/check"
)

// EmptyRules finds an empty list of rules for a direction that the policy does not restrict. The author
// probably meant to deny this direction. The API server does not keep empty lists, so this check finds
// them only in manifests.
var EmptyRules = check.Check{
	Name:       "empty-rules",
	Severities: []check.Severity{check.Warning},
	Scopes:     []check.Scope{check.ScopePolicy},
	Doc:        "an empty `ingress` or `egress` list that denies nothing, because `policyTypes` does not list the direction. Only manifests can contain such lists",
	Run: func(p *check.Pass) {
		emptyRules(p, rule.Ingress, "Ingress")
		emptyRules(p, rule.Egress, "Egress")
	},
}

func emptyRules(p *check.Pass, d rule.Direction, policyType string) {
	at := check.Outside("spec."+d.String(), check.TypesPart)
	if p.ClusterScoped() || p.Affects(d) || !p.Blank(at.String()) {
		return
	}
	const message = "the list %s is empty, but policyTypes does not list %s: the policy does not restrict %s of its pods"
	if p.Isolates[rule.Ingress] && len(p.Ingress) == 0 {
		p.Report(at, check.Warning, "add policyTypes: ["+policyType+"]; add Ingress to it only if ingress is to be denied, too",
			message+", and denies all ingress instead", d, policyType, d)
		return
	}
	p.Report(at, check.Warning, "add "+policyType+" to spec.policyTypes, or remove the list", message, d, policyType, d)
}
