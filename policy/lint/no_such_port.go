package lint

import (
	"fmt"
	"maps"
	"slices"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
)

var noSuchPort = Check{
	Name:       "no-such-port",
	Severities: []Severity{Warning},
	Scopes:     []Scope{ScopeNamespace, ScopeCluster},
	Doc:        "a named port that none of the destination pods defines",
	run: eachNamedPort(func(p *pass, at place, r *policy.Rule, port *policy.Port) {
		t := p.targetsOf(r)
		pods, with := p.count(t, port)
		if pods == 0 || with > 0 {
			return
		}
		if f := p.find(at, Warning); f != nil {
			f.Message = fmt.Sprintf("no pod %s has a %s port named %q: the entry allows nothing", whose(r), port.Protocol, port.Name)
			f.Fix = p.portFix(t, port)
			p.detail(f, "0 of %s", podCount(pods))
		}
	}),
}

// eachNamedPort returns a function for Check.run that calls the function f with every named
// port of every rule of which all destination pods are in the scope of the run.
func eachNamedPort(f func(*pass, place, *policy.Rule, *policy.Port)) func(*pass) {
	return eachPort(func(p *pass, at place, r *policy.Rule, port *policy.Port) {
		if port.Name != "" && p.podsKnown && (r.Direction == rule.Ingress || p.containsAll(r)) {
			f(p, at.in(".port"), r, port)
		}
	})
}

// whose describes the pods in which a port name of the rule is looked up. The result is a part
// of a message, such as "that the policy selects".
func whose(r *policy.Rule) string {
	if r.Direction == rule.Ingress {
		return "that the policy selects"
	}
	return "that the rule's peers match"
}

// portFix returns a fix for a port name that no destination pod defines. The fix lists the
// ports that the pods define.
func (p *pass) portFix(t *targets, port *policy.Port) string {
	names, protocols := map[string]bool{}, map[flow.Protocol]bool{}
	p.eachPorts(t, func(ports policy.ContainerPorts) {
		for _, have := range ports {
			if have.Name == port.Name {
				protocols[have.Protocol] = true
			}
			if have.Protocol == port.Protocol {
				names[have.Name] = true
			}
		}
	})
	switch {
	case len(protocols) > 0:
		have := slices.Min(slices.Collect(maps.Keys(protocols)))
		return fmt.Sprintf("the port of that name is %s: write protocol: %s", have, have)
	case len(names) == 0:
		return "use the number of the port, or name the port in the containers of the pod"
	}
	return fmt.Sprintf("they have %s; correct the name, or use the number of the port", few(slices.Sorted(maps.Keys(names))))
}
