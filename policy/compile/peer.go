package compile

import (
	"slices"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/policy"
)

// peer is a set of pods to which the rules of programs refer. Rules that refer to equal sets
// share one peer.
type peer struct {
	// id determines the order of the peers of a class. An id is never reused.
	id  uint32
	key peerKey
	// If key.block is empty, block is nil.
	block *policy.Block
	// programs contains the programs whose rules contain the peer. If the `classes` field changes,
	// these programs must be compiled again.
	programs map[*program]struct{}
	// The keys of the map `classes` are the classes whose pods match the peer. If the peer has a
	// named port, the value is the number of this port in the pods of the class.
	classes map[*class]uint16
}

// peerKey defines the pods that a peer matches.
type peerKey struct {
	// pods is the set of pods that the peer matches. If anyPod is true, pods is ignored, and
	// the peer matches the pods of all namespaces, even of namespaces without a Namespace
	// object.
	pods   policy.PodSet
	anyPod bool
	// If block is not empty, it is the key of a block that must contain the address of the
	// pod. A peer with a block is matched against addresses instead of cohorts.
	block string
	// If portName is not empty, it is the name of a port that the pod must define for the
	// protocol. Each match then contains the number of this port.
	portName string
	protocol flow.Protocol
}

// peers contains the peers that appear in the rules of programs.
type peers struct {
	all    map[peerKey]*peer
	lastID uint32
	// These two fields contain the peers that are matched against cohorts. For each namespace, the
	// map `in` contains the peers that can match only pods of this namespace. The list `across`
	// contains the peers that can match pods of several namespaces.
	in     map[string][]*peer
	across []*peer
	// blocks contains the peers with a block. They are matched against addresses.
	blocks []*peer
	// The list `added` contains the peers that were added since the last call of classify. The
	// list `removed` contains the peers that were removed since then.
	added, removed []*peer
}

// get returns the peer with the given key. If no such peer exists, get creates the peer.
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

// release records that a program no longer uses a peer. If no other program uses the peer,
// release removes the peer.
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

// match reports whether the peer matches the pods of a cohort. If the peer has a port name, number
// is the number of this port. The caller must also check that the peer matches the namespace. If
// the peer has a block, the caller must also check that the block contains the address of the pod.
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
