package query

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/service"
	"github.com/sluicenet/sluice/query/internal/candidate"
	"github.com/sluicenet/sluice/query/internal/phrase"
	"github.com/sluicenet/sluice/query/target"
)

// addUnmatched adds near misses for the rules that match the port of a flow, but match no peer at
// all. It also adds a hint for each rule that would match the peer if the peer were not in the host
// network.
func (c *Cluster) addUnmatched(e *Explanation, f flow.Flow) {
	for _, d := range []rule.Direction{rule.Egress, rule.Ingress} {
		side, other := e.side(d), &e.To
		if d == rule.Ingress {
			other = &e.From
		}
		if side.Reason != rule.NoRuleMatched.String() {
			continue
		}
		for _, name := range side.IsolatedBy {
			p := c.ruleTexts().Policies[name]
			for _, i := range candidate.ForPort(p, d, f, e.To.ports) {
				if !slices.ContainsFunc(side.NearMisses, func(m report.NearMiss) bool { return m.Policy == name && m.Rule == i }) {
					side.NearMisses = append(side.NearMisses, report.NearMiss{Policy: name, Rule: i, Differs: rule.PeerPart.String(), Unmatched: true})
				}
				if pod := c.hostPod(&p.Rules(d)[i], other.Address); pod != nil {
					e.Hints = append(e.Hints, fmt.Sprintf("%s %s selects pod %s/%s by its labels, but selectors do not match pods in the host network. Allow the address of its node with an ipBlock: %s.",
						name, phrase.Place(d, i), pod.Namespace, pod.Name, netip.PrefixFrom(other.Address, other.Address.BitLen())))
				}
			}
		}
	}
}

// hostPod returns a pod in the host network that has the given address and that the rule would
// match if the pod were in the pod network. If there is no such pod, the result is nil.
func (c *Cluster) hostPod(r *policy.Rule, address netip.Addr) *policy.Pod {
	for i := range c.set.Pods {
		p := &c.set.Pods[i].Pod
		if !p.HostNetwork || !slices.Contains(p.HostAddresses, address) && !slices.Contains(p.Addresses, address) {
			continue
		}
		var namespace *policy.Namespace
		if tracked := c.snapshot.TrackedNamespace(p.Namespace); tracked != nil {
			namespace = tracked.Object()
		}
		if candidate.WouldSelect(r, *p, namespace) {
			return p
		}
	}
	return nil
}

// portHints returns hints about Services that translate the flow's port to another port of the
// destination pod.
func (c *Cluster) portHints(e *Explanation) []string {
	namespace, name, _ := strings.Cut(e.To.Pod, "/")
	pods := c.podsNamed(name, namespace)
	if len(pods) != 1 || e.Port == nil {
		return nil
	}
	return target.PortHints(c.set, &pods[0].Pod, e.Protocol, *e.Port)
}

// serviceHints returns hints about rules that allow the address or the port of the Service instead
// of the address or the port of a backend.
func (c *Cluster) serviceHints(e *Explanation, s *service.Service) (hints []string, err error) {
	protocol, err := flow.ParseProtocol(e.Protocol)
	if err != nil || e.Service.Headless {
		return nil, err
	}
	f := flow.Flow{Src: e.From.Address, Dst: e.To.Address, Protocol: protocol, DstPort: e.Service.Port}
	allowed := func(f flow.Flow, d rule.Direction) (string, error) {
		got, err := c.side(f, d)
		if err != nil || e.side(d).Reason != rule.NoRuleMatched.String() || got.Reason != rule.Matched || got.Verdict != rule.Allow {
			return "", err
		}
		side := got.named()
		return *side.Policy + " " + c.ruleTexts().Rule(*side.Policy, d, *side.Rule, f.Dst).Text, nil
	}
	for _, address := range s.Addresses {
		if address.Is4() != f.Src.Is4() {
			continue
		}
		toService := f
		toService.Dst = address
		text, err := allowed(toService, rule.Egress)
		if err != nil {
			return nil, err
		}
		if text != "" {
			return []string{fmt.Sprintf("A rule allows %s, the address of the Service: %s. Policies are evaluated after the address is translated, so allow the backends instead, on %s %d.",
				address, text, e.Protocol, *e.Port)}, nil
		}
	}
	if int(e.Service.Port) == *e.Port {
		return nil, nil
	}
	for _, d := range []rule.Direction{rule.Egress, rule.Ingress} {
		text, err := allowed(f, d)
		if err != nil {
			return nil, err
		}
		if text != "" {
			hints = append(hints, fmt.Sprintf("A rule allows %s %d, the port of the Service: %s. Policies are evaluated for the port of the backends, so allow %s %d instead.",
				e.Protocol, e.Service.Port, text, e.Protocol, *e.Port))
		}
	}
	return hints, nil
}
