package text

import (
	"fmt"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/lint/internal/check"
)

// EmptyField finds fields that a template left empty. The API server treats such a field like a missing
// field, so the rule then matches more than its author meant. The API server does not keep empty fields,
// so this check finds them only in manifests.
var EmptyField = check.Check{
	Name:       "empty-field",
	Severities: []check.Severity{check.Warning},
	Scopes:     []check.Scope{check.ScopePolicy},
	Doc:        "an empty `from`, `to`, `ports` or `port`, which allows every peer or every port. Only manifests can contain such fields",
	Run: check.EachRule(func(p *check.Pass, at check.Place, r *policy.Rule) {
		if !p.Blanks() {
			return
		}
		list, peers := "from", "source"
		if r.Direction == rule.Egress {
			list, peers = "to", "destination"
		}
		emptyList(p, at, list, peers)
		emptyList(p, at, "ports", "port")
		for i := range r.Ports {
			if at := at.Port(i).In(".port"); p.Blank(at.String()) {
				p.Report(at, check.Warning, "write the number or the name of the port, or remove the field if every port is meant",
					"port has no value: the entry allows every %s port", r.Ports[i].Protocol)
			}
		}
	}),
}

func emptyList(p *check.Pass, at check.Place, list, all string) {
	if at := at.In("." + list); p.Blank(at.String()) {
		p.Report(at, check.Warning, fmt.Sprintf("write the entries of %s, or remove the field if every %s is meant", list, all),
			"%s has no value: the rule allows every %s", list, all)
	}
}
