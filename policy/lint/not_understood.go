package lint

var notUnderstood = Check{
	Name:       "not-understood",
	Severities: []Severity{Error},
	Scopes:     []Scope{ScopePolicy},
	Doc:        "a part that cannot be understood, so that it allows nothing and a `Deny` or `Pass` rule denies everything: an invalid CIDR or selector, `endPort` below `port`, an except outside its cidr",
	run: func(p *pass) {
		for _, e := range p.Errors {
			p.report(outside(e.Field, wholePart), Error, "", "%s", e.Message)
		}
	},
}
