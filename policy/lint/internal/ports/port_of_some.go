package ports

import (
	"fmt"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/lint/internal/check"
	"github.com/sluicenet/sluice/policy/lint/internal/sample"
)

// PortOfSome is the check port-of-some.
var PortOfSome = check.Check{
	Name:       "port-of-some",
	Severities: []check.Severity{check.Note},
	Scopes:     []check.Scope{check.ScopeNamespace, check.ScopeCluster},
	ByAbsence:  true,
	Doc:        "a named port that only some of the destination pods define",
	Run: eachNamedPort(func(p *check.Pass, at check.Place, r *policy.Rule, port *policy.Port) {
		if r.Direction == rule.Egress && len(r.Peers) == 0 {
			return
		}
		pods, with := p.Count(p.TargetsOf(r), port)
		if with == 0 || with == pods {
			return
		}
		if f := p.Find(at, check.Note); f != nil {
			f.Message = fmt.Sprintf("only some of the pods %s have a %s", whose(r), portName(p.Policy, port))
			f.Fix = "name the port in every pod, or use its number"
			p.Detail(f, "%d of %s", with, sample.PodCount(pods))
		}
	}),
}
