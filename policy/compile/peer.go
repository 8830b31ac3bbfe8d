package compile

import (
	"slices"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/policy"
)

// peer is a set of pods that the rules of programs refer to. Rules that refer to equal sets
// share one peer.
type peer struct {
	// id orders the peers of a class. An id is never assigned to a second peer.
	id  uint32
	key peerKey
	// block is nil unless key.block is set.
	block *policy.Block
	// programs contains the programs whose rules contain the peer. The programs must be
	// written again if the field classes changes.
	programs map[*program]struct{}
	// classes contains the classes whose pods the peer matches. If the peer has a port
	// name, the value is the port number that the name resolves to for these pods.
	classes map[*class]uint16
}

// peerKey defines the pods that a peer matches.
type peerKey struct {
	// pods is the set of pods that match. If anyPod is true, pods is ignored and the pods
	// of all namespaces match, even if a namespace has no Namespace object.
	pods   policy.PodSet
	anyPod bool
	// block, if not empty, is the key of a block that must contain the address of the pod.
	// Such a peer is matched against addresses instead of cohorts.
	block string
	// portName, if not empty, is the name of a port that the pod must define for protocol.
	// The match then contains the number of that port.
	portName string
	protocol flow.Protocol
}

// peers contains the peers in the rules of all programs.
type peers struct {
	all    map[peerKey]*peer
	lastID uint32
	// in and across contain the peers that are matched against cohorts. in contains, by
	// namespace, the peers that can match only pods of this namespace. across contains the
	// peers that can match pods of several namespaces.
	in     map[string][]*peer
	across []*peer
	// blocks contains the peers with a block. They are matched against addresses.
	blocks []*peer
	// added and removed list the peers that were added and removed since the last call of
	// classify.
	added, removed []*peer
}

// get returns the peer with the given key. It creates the peer if no such peer exists.
func (ps *peers) get(key peerKey, block *policy.Block) *peer {
	p := ps.all[key]
	if p != nil {
		return p
	}
	ps.lastID++
	p = &peer{id: ps.lastID, key: key, block: block, programs: map[*program]struct{}{}, classes: map[*class]uint16{}}
	ps.all[key] = p
	ps.added = append(ps.added, p)
	switch {
	case block != nil:
		ps.blocks = append(ps.blocks, p)
	case key.pods.Namespace != "":
		ps.in[key.pods.Namespace] = append(ps.in[key.pods.Namespace], p)
	default:
		ps.across = append(ps.across, p)
	}
	return p
}

// release removes a program from a peer. It also removes the peer if no other program uses
// the peer.
func (ps *peers) release(p *peer, by *program) {
	if _, used := p.programs[by]; !used {
		return
	}
	delete(p.programs, by)
	if len(p.programs) == 0 {
		ps.remove(p)
	}
}

func (ps *peers) remove(p *peer) {
	delete(ps.all, p.key)
	ps.removed = append(ps.removed, p)
	without := func(list []*peer) []*peer {
		return slices.DeleteFunc(list, func(o *peer) bool { return o == p })
	}
	namespace := p.key.pods.Namespace
	switch {
	case p.block != nil:
		ps.blocks = without(ps.blocks)
	case namespace != "":
		if ps.in[namespace] = without(ps.in[namespace]); len(ps.in[namespace]) == 0 {
			delete(ps.in, namespace)
		}
	default:
		ps.across = without(ps.across)
	}
}

// matchesNamespace reports whether the peer can match pods of a namespace.
func (p *peer) matchesNamespace(ns *policy.TrackedNamespace) bool {
	return p.key.anyPod || p.key.pods.MatchesNamespace(ns.Name(), ns.Object())
}

// match reports whether the peer matches the pods of a cohort. The caller has already
// matched the namespace. If the peer has a port name, number is the number of that port. If
// the peer has a block, the caller must also check that the block contains the address of
// the pod.
func (p *peer) match(c *policy.Cohort) (number uint16, ok bool) {
	if !p.key.pods.Pods.Matches(c.Labels()) {
		return 0, false
	}
	if p.key.portName == "" {
		return 0, true
	}
	number = c.Ports().Number(p.key.protocol, p.key.portName)
	return number, number != 0
}
