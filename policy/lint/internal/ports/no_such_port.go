package ports

import (
	"fmt"
	"maps"
	"slices"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/lint/internal/check"
	"github.com/sluicenet/sluice/policy/lint/internal/sample"
)

// NoSuchPort is the check no-such-port.
var NoSuchPort = check.Check{
	Name:       "no-such-port",
	Severities: []check.Severity{check.Warning},
	Scopes:     []check.Scope{check.ScopeNamespace, check.ScopeCluster},
	Doc:        "a named port that none of the destination pods defines",
	Run: eachNamedPort(func(p *check.Pass, at check.Place, r *policy.Rule, port *policy.Port) {
		t := p.TargetsOf(r)
		pods, with := p.Count(t, port)
		if pods == 0 || with > 0 {
			return
		}
		if f := p.Find(at, check.Warning); f != nil {
			f.Message = fmt.Sprintf("no pod %s has a %s: the entry %s", whose(r), portName(p.Policy, port), p.MatchesNothing())
			f.Fix = portFix(p, t, port)
			p.Detail(f, "0 of %s", sample.PodCount(pods))
		}
	}),
}

// eachNamedPort returns a function for Check.Run that calls the function f with every named port of
// each rule. It skips a rule if some of its destination pods are not in the scope of the run.
func eachNamedPort(f func(*check.Pass, check.Place, *policy.Rule, *policy.Port)) func(*check.Pass) {
	return check.EachPort(func(p *check.Pass, at check.Place, r *policy.Rule, port *policy.Port) {
		if port.Name == "" || !p.PodsKnown || r.Direction == rule.Egress && !p.ContainsAll(r) {
			return
		}
		switch {
		case !p.ClusterScoped():
			f(p, at.In(".port"), r, port)
		case port.Protocol == flow.TCP:
			// A destinationNamedPort results in one port for each protocol. Report only one of them.
			f(p, at.In(".destinationNamedPort"), r, port)
		}
	})
}

// portName describes a named port. The result is a part of a message, such as `TCP port named "http"`.
func portName(s *check.Policy, port *policy.Port) string {
	if s.ClusterScoped() {
		return fmt.Sprintf("port named %q", port.Name)
	}
	return fmt.Sprintf("%s port named %q", port.Protocol, port.Name)
}

// The function `whose` describes the destination pods of the rule, which define its port names.
// The result is a part of a message, such as "that the policy selects".
func whose(r *policy.Rule) string {
	if r.Direction == rule.Ingress {
		return "that the policy selects"
	}
	return "that the rule's peers match"
}

// portFix returns a fix for a port name that no destination pod defines. The fix lists the
// ports that the pods define.
func portFix(p *check.Pass, t *check.Targets, port *policy.Port) string {
	names, protocols := map[string]bool{}, map[flow.Protocol]bool{}
	p.EachPorts(t, func(ports policy.ContainerPorts) {
		for _, have := range ports {
			if have.Name == port.Name {
				protocols[have.Protocol] = true
			}
			if have.Protocol == port.Protocol || p.ClusterScoped() {
				names[have.Name] = true
			}
		}
	})
	switch {
	case p.ClusterScoped() && len(names) == 0:
		return "use the number of the port, or name the port in the containers of the pod"
	case len(protocols) > 0:
		have := slices.Min(slices.Collect(maps.Keys(protocols)))
		return fmt.Sprintf("the port of that name is %s: write protocol: %s", have, have)
	case len(names) == 0:
		return "use the number of the port, or name the port in the containers of the pod"
	}
	return fmt.Sprintf("they have %s; correct the name, or use the number of the port", sample.Few(slices.Sorted(maps.Keys(names))))
}
