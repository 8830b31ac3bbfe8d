package lint

import (
	"fmt"
	"maps"
	"slices"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
)

var noSuchPort = Check{
	Name:       "no-such-port",
	Severities: []Severity{Warning},
	Doc:        "a named port that none of the destination pods defines",
	run: eachPort(func(p *pass, at place, r *policy.Rule, port *policy.Port) {
		targets, with := p.targetsWith(at.subject, r, port)
		switch {
		case len(targets) == 0 || with > 0:
		case len(targets) == 1:
			p.report(at.in(".port"), Warning, portFix(targets, port),
				"the pod %s has no %s port named %q: the entry allows nothing", whose(r), port.Protocol, port.Name)
		default:
			p.report(at.in(".port"), Warning, portFix(targets, port),
				"none of the %d pods %s has a %s port named %q: the entry allows nothing", len(targets), whose(r), port.Protocol, port.Name)
		}
	}),
}

// whose describes the pods in which a port name of the rule is looked up. The result is a part
// of a message, such as "that the policy selects".
func whose(r *policy.Rule) string {
	if r.Direction == rule.Ingress {
		return "that the policy selects"
	}
	return "that the rule's peers match"
}

// targetsWith returns the pods in which a port name is looked up, and the number of these
// pods that define the port. If the port is a number, targetsWith returns no pods.
func (c *cluster) targetsWith(s *subject, r *policy.Rule, port *policy.Port) (targets []*policy.Pod, with int) {
	if port.Name == "" {
		return nil, 0
	}
	targets = c.targets(s, r)
	for _, pod := range targets {
		if pod.Ports.Number(port.Protocol, port.Name) != 0 {
			with++
		}
	}
	return targets, with
}

// targets returns the pods in the snapshot that can be destinations of a rule. For ingress,
// these are the pods that the policy selects. For egress, these are the pods that match a
// peer. Each pod is listed once.
func (c *cluster) targets(s *subject, r *policy.Rule) []*policy.Pod {
	if r.Direction == rule.Ingress {
		return s.pods
	}
	var out []*policy.Pod
	seen := map[*policy.Pod]bool{}
	add := func(pods []*policy.Pod) {
		for _, pod := range pods {
			if !seen[pod] {
				seen[pod] = true
				out = append(out, pod)
			}
		}
	}
	if len(r.Peers) == 0 {
		for _, pods := range c.podsByNamespace() {
			add(pods)
		}
	}
	for i := range r.Peers {
		switch p := &r.Peers[i]; {
		case p.Invalid:
		case p.Block != nil:
			add(c.podsInBlock(p.Block))
		default:
			add(c.podsOf(&p.PodSet))
		}
	}
	return out
}

// portFix returns a fix for a port name that no destination pod defines. The fix lists the
// ports that the pods define.
func portFix(targets []*policy.Pod, port *policy.Port) string {
	names := map[string]bool{}
	for _, pod := range targets {
		for _, have := range pod.Ports {
			if have.Name == port.Name {
				return fmt.Sprintf("the port of that name is %s: write protocol: %s", have.Protocol, have.Protocol)
			}
			if have.Protocol == port.Protocol {
				names[have.Name] = true
			}
		}
	}
	if len(names) == 0 {
		return "use the number of the port, or name the port in the containers of the pod"
	}
	return fmt.Sprintf("they have %s; correct the name, or use the number of the port", few(slices.Sorted(maps.Keys(names))))
}
