package text

import "github.com/sluicenet/sluice/policy/lint/internal/check"

// NotUnderstood is the check not-understood.
var NotUnderstood = check.Check{
	Name:       "not-understood",
	Severities: []check.Severity{check.Error},
	Scopes:     []check.Scope{check.ScopePolicy},
	Doc:        "an invalid part of a policy: an invalid CIDR or selector, an `endPort` below the `port`, or an `except` entry outside the `cidr`. Such a part allows nothing; a `Deny` or `Pass` rule with such a part denies everything",
	Run: func(p *check.Pass) {
		for _, e := range p.Errors {
			p.Report(check.Outside(e.Field, check.WholePart), check.Error, "", "%s", e.Message)
		}
	},
}
