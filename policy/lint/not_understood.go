package lint

var notUnderstood = Check{
	Name:       "not-understood",
	Severities: []Severity{Error},
	Doc:        "a part that cannot be understood and allows nothing: an invalid CIDR or selector, `endPort` below `port`, an except outside its cidr",
	run: eachPolicy(func(p *pass, s *subject) {
		for _, e := range s.Errors {
			p.report(s.at(e.Field, wholePart), Error, "", "%s", e.Message)
		}
	}),
}
