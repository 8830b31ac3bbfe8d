package compile

import (
	"slices"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/policy"
)

// peer is a set of pods that the rules of programs refer to. Equal sets are one
// peer.
type peer struct {
	// id orders the peers of a class. It is never used again.
	id  uint32
	key peerKey
	// block is nil unless key.block is set.
	block *policy.Block
	// programs are the programs that must be written again if classes changes.
	programs map[*program]struct{}
	// classes are the classes whose pods match. The value is the number of the
	// port if the peer has a port name.
	classes map[*class]uint16
}

// peerKey defines the pods that a peer matches.
type peerKey struct {
	// pods is the set of pods, unless anyPod is set: then the pods of all
	// namespaces match, even of a namespace without an object.
	pods   policy.PodSet
	anyPod bool
	// block, if set, is the key of a block that must contain the address of the
	// pod. Then pods match by address, not by cohort.
	block string
	// portName, if set, must be a port of the pod for protocol. A match then has
	// the number of the port.
	portName string
	protocol flow.Protocol
}

// peers are the peers in the rules of all programs. in and across are the peers
// to match against a cohort: those of one namespace by its name, and the others.
// Peers with a block are in blocks instead.
type peers struct {
	all    map[peerKey]*peer
	lastID uint32
	in     map[string][]*peer
	across []*peer
	blocks []*peer
	// added and removed are the changes since the last classify.
	added, removed []*peer
}

// get returns the peer with a key. It creates the peer if it does not exist.
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

// release removes a program from a peer, and the peer if no program is left.
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

// matchesNamespace reports whether pods of a namespace can match.
func (p *peer) matchesNamespace(ns *policy.TrackedNamespace) bool {
	return p.key.anyPod || p.key.pods.MatchesNamespace(ns.Name(), ns.Object())
}

// match reports whether the pods of a cohort match, given that their namespace
// does. If the peer has a port name, number is the number of that port. If the
// peer has a block, the address of the pod must be in it too.
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
