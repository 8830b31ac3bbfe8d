package lint

import (
	"slices"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
)

// targets contains the pods that can be destinations of a rule.
type targets struct {
	rule *policy.Rule
	// groups contains the groups of which all pods are destinations. The `pods` map contains the
	// other destinations.
	groups []*group
	pods   map[*policy.Pod]bool
}

// targetsOf returns the pods that can be destinations of a rule. If the check is stopped, some pods
// are missing. For ingress, these are the
// pods that the policy selects. For egress, these are the pods that match a peer.
func (p *pass) targetsOf(r *policy.Rule) *targets {
	if p.targets != nil && p.targets.rule == r {
		return p.targets
	}
	t := &targets{rule: r, pods: map[*policy.Pod]bool{}}
	if r.Direction == rule.Ingress {
		for g := range p.selected() {
			t.groups = append(t.groups, g)
		}
	} else {
		p.addPeers(t, r)
	}
	if !p.stopped {
		p.targets = t
	}
	return t
}

// addPeers adds the pods that match a peer of the rule.
func (p *pass) addPeers(t *targets, r *policy.Rule) {
	whole := map[*group]bool{}
	addSet := func(set *policy.PodSet) {
		for g := range p.groupsOf(set) {
			if !whole[g] {
				whole[g] = true
				t.groups = append(t.groups, g)
			}
		}
	}
	if len(r.Peers) == 0 {
		for _, s := range p.withPods {
			addSet(&policy.PodSet{Namespace: s.name})
		}
	}
	for i := range r.Peers {
		if peer := &r.Peers[i]; !peer.Invalid && !peer.OfNodes && peer.Block == nil {
			addSet(&peer.PodSet)
		}
	}
	for i := range r.Peers {
		if peer := &r.Peers[i]; !peer.Invalid && peer.Block != nil {
			p.addBlock(t, whole, peer.Block)
		}
	}
}

// addBlock adds the pods in a block, except for the pods of the groups in the `whole` map.
func (p *pass) addBlock(t *targets, whole map[*group]bool, b *policy.Block) {
	for part := range p.inBlock(b) {
		for _, a := range part {
			if !whole[a.group] && p.spend(50) {
				t.pods[a.pod] = true
			}
		}
	}
}

// count returns the number of pods, and the number of pods that define a named port.
func (p *pass) count(t *targets, port *policy.Port) (pods, with int) {
	pods = len(t.pods)
	for _, g := range t.groups {
		pods += len(g.pods)
		if p.defines(g.ports, port) {
			with += len(g.pods)
		}
	}
	for pod := range t.pods {
		if p.defines(pod.Ports, port) {
			with++
		}
	}
	return pods, with
}

func (p *pass) defines(ports policy.ContainerPorts, port *policy.Port) bool {
	if !p.spend(10 + 5*len(ports)) {
		return false
	}
	if !p.clusterScoped() {
		return ports.Number(port.Protocol, port.Name) != 0
	}
	return slices.ContainsFunc(ports, func(have policy.ContainerPort) bool { return have.Name == port.Name })
}

// eachPorts returns an iterator over the named ports of the pods.
func (p *pass) eachPorts(t *targets, f func(policy.ContainerPorts)) {
	for _, g := range t.groups {
		if p.spend(50 * len(g.ports)) {
			f(g.ports)
		}
	}
	for pod := range t.pods {
		if p.spend(50 * len(pod.Ports)) {
			f(pod.Ports)
		}
	}
}
