package check

import (
	"slices"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
)

// Targets contains the pods that can be destinations of a rule.
type Targets struct {
	rule *policy.Rule
	// The `groups` field contains the groups of which all pods are destinations. The `pods` field
	// contains the other destinations.
	groups []*Group
	pods   map[*policy.Pod]bool
}

// TargetsOf returns the pods that can be destinations of a rule. For ingress, these are the pods
// that the policy selects. For egress, these are the pods that match a peer. If the check is
// stopped, some pods are missing.
func (p *Pass) TargetsOf(r *policy.Rule) *Targets {
	if p.targets != nil && p.targets.rule == r {
		return p.targets
	}
	t := &Targets{rule: r, pods: map[*policy.Pod]bool{}}
	if r.Direction == rule.Ingress {
		for g := range p.Selected() {
			t.groups = append(t.groups, g)
		}
	} else {
		p.addPeers(t, r)
	}
	if !p.Stopped {
		p.targets = t
	}
	return t
}

// addPeers adds the pods that match a peer of the rule.
func (p *Pass) addPeers(t *Targets, r *policy.Rule) {
	whole := map[*Group]bool{}
	addSet := func(set *policy.PodSet) {
		for g := range p.GroupsOf(set) {
			if !whole[g] {
				whole[g] = true
				t.groups = append(t.groups, g)
			}
		}
	}
	if len(r.Peers) == 0 {
		for _, s := range p.WithPods {
			addSet(&policy.PodSet{Namespace: s.Name})
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
func (p *Pass) addBlock(t *Targets, whole map[*Group]bool, b *policy.Block) {
	for part := range p.InBlock(b) {
		for _, a := range part {
			if !whole[a.Group] && p.Spend(50) {
				t.pods[a.pod] = true
			}
		}
	}
}

// Count returns the number of pods, and the number of pods that define a named port.
func (p *Pass) Count(t *Targets, port *policy.Port) (pods, with int) {
	pods = len(t.pods)
	for _, g := range t.groups {
		pods += len(g.Pods)
		if p.defines(g.ports, port) {
			with += len(g.Pods)
		}
	}
	for pod := range t.pods {
		if p.defines(pod.Ports, port) {
			with++
		}
	}
	return pods, with
}

func (p *Pass) defines(ports policy.ContainerPorts, port *policy.Port) bool {
	if !p.Spend(10 + 5*len(ports)) {
		return false
	}
	if !p.ClusterScoped() {
		return ports.Number(port.Protocol, port.Name) != 0
	}
	return slices.ContainsFunc(ports, func(have policy.ContainerPort) bool { return have.Name == port.Name })
}

// EachPorts calls the function f with the named ports of the pods: once for each group of pods with
// equal ports, and once for each other pod.
func (p *Pass) EachPorts(t *Targets, f func(policy.ContainerPorts)) {
	for _, g := range t.groups {
		if p.Spend(50 * len(g.ports)) {
			f(g.ports)
		}
	}
	for pod := range t.pods {
		if p.Spend(50 * len(pod.Ports)) {
			f(pod.Ports)
		}
	}
}

// Groups returns the groups of which all pods are destinations. The other destinations have addresses
// in a block.
func (t *Targets) Groups() []*Group { return t.groups }
