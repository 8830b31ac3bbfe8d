package lint

import (
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
)

var portOfSome = Check{
	Name:       "port-of-some",
	Severities: []Severity{Note},
	Doc:        "a named port that only some of the destination pods define",
	run: eachPort(func(p *pass, at place, r *policy.Rule, port *policy.Port) {
		targets, with := p.targetsWith(at.subject, r, port)
		if with == 0 || with == len(targets) || r.Direction == rule.Egress && len(r.Peers) == 0 {
			return
		}
		p.report(at.in(".port"), Note, "name the port in every pod, or use its number",
			"only %d of the %d pods %s have a %s port named %q", with, len(targets), whose(r), port.Protocol, port.Name)
	}),
}
