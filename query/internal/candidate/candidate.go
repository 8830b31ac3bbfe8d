// Package candidate finds rules that were probably meant for a flow, although they do not match it.
// A tree does not contain rules that match no peer at all, so these rules are found in the policies.
package candidate

import (
	"slices"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
)

// ForPort returns the indexes of the rules of a direction whose ports match a flow. The `ports`
// parameter contains the named ports of the destination pod.
func ForPort(p *policy.Policy, d rule.Direction, f flow.Flow, ports policy.ContainerPorts) []int {
	var out []int
	for i := range p.Rules(d) {
		r := &p.Rules(d)[i]
		matches := func(port policy.Port) bool { return matchesPort(port, f, ports) }
		if !r.Invalid && (len(r.Ports) == 0 || slices.ContainsFunc(r.Ports, matches)) {
			out = append(out, i)
		}
	}
	return out
}

func matchesPort(p policy.Port, f flow.Flow, ports policy.ContainerPorts) bool {
	if p.Protocol != f.Protocol {
		return false
	}
	if p.Name != "" {
		return ports.Number(f.Protocol, p.Name) == f.DstPort
	}
	return p.Contains(f.DstPort)
}

// WouldSelect reports whether a peer of the rule would match a pod in the host network if the pod
// were in the pod network.
func WouldSelect(r *policy.Rule, pod policy.Pod, namespace *policy.Namespace) bool {
	if !pod.HostNetwork || pod.Finished {
		return false
	}
	pod.HostNetwork = false
	end := policy.End{Pod: &pod, Namespace: namespace}
	return slices.ContainsFunc(r.Peers, func(p policy.Peer) bool { return p.Block == nil && !p.OfNodes && p.Matches(&end) })
}
