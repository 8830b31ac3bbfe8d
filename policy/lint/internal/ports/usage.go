package ports

import (
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/lint/internal/check"
	"github.com/sluicenet/sluice/policy/service"
)

// usage describes how the destination pods of a rule use a port.
type usage struct {
	// unused is true if no destination pod uses the port, as far as the input shows: each pod declares
	// other ports, or a Service translates the port to another one.
	unused bool
	// service is a Service that translates the port to another port of the pods, or nil.
	service *service.Service
	port    *service.Port
	target  uint16
	// targets contains the groups of destination pods.
	targets []*check.Group
}

// eachNumber returns a function for Check.Run that calls the function f with each port of each rule,
// except for port names and entries that match every port. It skips rules whose destinations are not
// only pods, and rules with destination pods outside the scope of the run.
func eachNumber(f func(*check.Pass, check.Place, *policy.Port, *usage)) func(*check.Pass) {
	return check.EachPort(func(p *check.Pass, at check.Place, r *policy.Rule, port *policy.Port) {
		if port.Name != "" || port.EveryPort() || !p.PodsKnown || r.Invalid || r.Direction == rule.Egress && !onlyPods(p, r) {
			return
		}
		if u := usageOf(p, r, port); u.unused {
			if !p.ClusterScoped() {
				at = at.In(".port")
			}
			f(p, at, port, &u)
		}
	})
}

// onlyPods reports whether all destinations of an egress rule are pods in the scope of the run.
func onlyPods(p *check.Pass, r *policy.Rule) bool {
	for i := range r.Peers {
		if peer := &r.Peers[i]; peer.Block != nil || peer.OfNodes || peer.Invalid || !p.Contains(peer) {
			return false
		}
	}
	return len(r.Peers) > 0
}

// usageOf returns how the destination pods of a rule use a port of the rule.
func usageOf(p *check.Pass, r *policy.Rule, port *policy.Port) (u usage) {
	u.targets = p.TargetsOf(r).Groups()
	for _, g := range u.targets {
		if !p.Spend(50) || g.DeclaredPorts.ContainsAny(port) {
			return usage{}
		}
		used, translated := u.addServices(p, g, port)
		if used || !translated && g.DeclaredPorts.Empty() {
			return usage{}
		}
	}
	u.unused = len(u.targets) > 0
	return u
}

// addServices looks for the port in the Services that lead to the pods of a group. The first result is
// true if the pods use the port as the target of a Service. The second result is true if a Service
// translates the port to another one.
func (u *usage) addServices(p *check.Pass, g *check.Group, port *policy.Port) (used, translated bool) {
	for _, s := range p.ServicesOf(g) {
		for i := range s.Ports {
			have := &s.Ports[i]
			target := have.TargetOf(g.Pods[0])
			switch {
			case have.Protocol != port.Protocol || target == 0 || !p.Spend(10):
			case port.Contains(target):
				used = true
			case !s.Headless && port.First == port.Last && (port.Contains(have.Number) || port.Contains(have.NodePort)):
				translated = true
				u.service, u.port, u.target = s, have, target
			}
		}
	}
	return used, translated
}
