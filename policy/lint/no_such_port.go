package lint

import (
	"fmt"
	"maps"
	"slices"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/lint/internal/sample"
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
			f.Message = fmt.Sprintf("no pod %s has a %s: the entry %s", whose(r), p.portName(port), p.matchesNothing())
			f.Fix = p.portFix(t, port)
			p.detail(f, "0 of %s", sample.PodCount(pods))
		}
	}),
}

// eachNamedPort returns a function for Check.run that calls the function f with every named
// port of every rule of which all destination pods are in the scope of the run.
func eachNamedPort(f func(*pass, place, *policy.Rule, *policy.Port)) func(*pass) {
	return eachPort(func(p *pass, at place, r *policy.Rule, port *policy.Port) {
		if port.Name == "" || !p.podsKnown || r.Direction == rule.Egress && !p.containsAll(r) {
			return
		}
		switch {
		case !p.clusterScoped():
			f(p, at.in(".port"), r, port)
		case port.Protocol == flow.TCP:
			// A destinationNamedPort consists of one port for each protocol.
			f(p, at.in(".destinationNamedPort"), r, port)
		}
	})
}

// portName describes a named port. The result is a part of a message, such as `TCP port named "http"`.
func (s *subject) portName(port *policy.Port) string {
	if s.clusterScoped() {
		return fmt.Sprintf("port named %q", port.Name)
	}
	return fmt.Sprintf("%s port named %q", port.Protocol, port.Name)
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
			if have.Protocol == port.Protocol || p.clusterScoped() {
				names[have.Name] = true
			}
		}
	})
	switch {
	case p.clusterScoped() && len(names) == 0:
		return "use the number of the port, or name the port in the containers of the pod"
	case len(protocols) > 0:
		have := slices.Min(slices.Collect(maps.Keys(protocols)))
		return fmt.Sprintf("the port of that name is %s: write protocol: %s", have, have)
	case len(names) == 0:
		return "use the number of the port, or name the port in the containers of the pod"
	}
	return fmt.Sprintf("they have %s; correct the name, or use the number of the port", sample.Few(slices.Sorted(maps.Keys(names))))
}
