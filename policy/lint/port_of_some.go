package lint

import (
	"fmt"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/lint/internal/sample"
)

var portOfSome = Check{
	Name:       "port-of-some",
	Severities: []Severity{Note},
	Scopes:     []Scope{ScopeNamespace, ScopeCluster},
	Doc:        "a named port that only some of the destination pods define",
	run: eachNamedPort(func(p *pass, at place, r *policy.Rule, port *policy.Port) {
		if r.Direction == rule.Egress && len(r.Peers) == 0 {
			return
		}
		pods, with := p.count(p.targetsOf(r), port)
		if with == 0 || with == pods {
			return
		}
		if f := p.find(at, Note); f != nil {
			f.Message = fmt.Sprintf("only some of the pods %s have a %s", whose(r), p.portName(port))
			f.Fix = "name the port in every pod, or use its number"
			p.detail(f, "%d of %s", with, sample.PodCount(pods))
		}
	}),
}
