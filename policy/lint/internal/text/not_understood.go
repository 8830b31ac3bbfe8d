package text

import "github.com/sluicenet/sluice/policy/lint/internal/check"

// NotUnderstood is the check not-understood.
var NotUnderstood = check.Check{
	Name:       "not-understood",
	Severities: []check.Severity{check.Error},
	Scopes:     []check.Scope{check.ScopePolicy},
	Doc:        "a part that cannot be understood, so that it allows nothing and a `Deny` or `Pass` rule denies everything: an invalid CIDR or selector, `endPort` below `port`, an except outside its cidr",
	Run: func(p *check.Pass) {
		for _, e := range p.Errors {
			p.Report(check.Outside(e.Field, check.WholePart), check.Error, "", "%s", e.Message)
		}
	},
}
