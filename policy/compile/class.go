package compile

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
)

// match records that one peer matches a cohort or an address.
type match struct {
	peer *peer
	// The `number` field is the port number to which the peer's port name resolves. If the peer
	// has no port name, the field is unused.
	number uint16
}

// class represents the addresses that have exactly the same matches. It exists as long as at
// least one address is in the class.
type class struct {
	id      rule.Class
	key     string
	matches []match
	// members contains the cohorts of the class. All addresses of these cohorts are in the
	// class, except the addresses that have an entry in Compiler.byAddress. The field
	// `addresses` counts the entries of Compiler.byAddress that contain this class.
	members   map[*cohortState]struct{}
	addresses int
}

// cohortState is a cohort that at least one peer matches.
type cohortState struct {
	cohort *policy.Cohort
	// The list `matches` is sorted by the ID of the peer.
	matches []match
	class   *class
	// changed is true if Compiler.changed lists the cohort.
	changed bool
}

// classify updates the classes of cohorts. If the class of a cohort changed, classify adds
// the cohort's addresses to the list of changed addresses.
func (c *Compiler) classify() {
	for _, p := range c.peers.removed {
		c.forget(p)
	}
	for _, p := range c.peers.added {
		c.find(p)
	}
	c.peers.removed, c.peers.added = nil, nil
	for _, cohort := range c.changes.Cohorts {
		c.match(cohort)
	}
	for _, st := range c.changed {
		if !st.changed {
			continue
		}
		st.changed = false
		c.reclass(st)
	}
	c.changed = c.changed[:0]
}

// find adds the matches of a new peer to the cohorts that the peer matches. A peer with a block is
// not matched against cohorts. For such a peer, find adds the pod addresses in the block to the
// list of changed addresses.
func (c *Compiler) find(p *peer) {
	if p.block != nil {
		for a := range c.snapshot.OwnedAddresses() {
			if p.block.Contains(a) {
				c.changes.Addresses = append(c.changes.Addresses, a)
			}
		}
		return
	}
	if name := p.key.pods.Namespace; name != "" {
		if ns := c.snapshot.TrackedNamespace(name); ns != nil {
			c.findIn(p, ns)
		}
		return
	}
	for _, ns := range c.snapshot.TrackedNamespaces() {
		c.findIn(p, ns)
	}
}

func (c *Compiler) findIn(p *peer, ns *policy.TrackedNamespace) {
	if !p.matchesNamespace(ns) {
		return
	}
	for _, cohort := range ns.Cohorts() {
		if number, ok := p.match(cohort); ok {
			st := c.state(cohort)
			st.add(match{peer: p, number: number})
			c.markChanged(st)
		}
	}
}

// forget removes a peer from all lists of matches. The caller has removed the last program
// that used the peer.
func (c *Compiler) forget(p *peer) {
	for cl := range p.classes {
		for st := range cl.members {
			st.matches = slices.DeleteFunc(st.matches, func(m match) bool { return m.peer == p })
			c.markChanged(st)
		}
		if cl.addresses == 0 {
			continue
		}
		for a, other := range c.byAddress {
			if other == cl {
				c.changes.Addresses = append(c.changes.Addresses, a)
			}
		}
	}
}

// match matches a cohort against all peers. No peer matches a cohort that has lost its last
// pod.
func (c *Compiler) match(cohort *policy.Cohort) {
	st := c.states[cohort]
	if st != nil {
		st.matches = st.matches[:0]
	}
	if !cohort.Gone() {
		for _, list := range [...][]*peer{c.peers.in[cohort.Namespace().Name()], c.peers.across} {
			for _, p := range list {
				if !p.matchesNamespace(cohort.Namespace()) {
					continue
				}
				if number, ok := p.match(cohort); ok {
					st = c.state(cohort)
					st.matches = append(st.matches, match{peer: p, number: number})
				}
			}
		}
	}
	if st != nil {
		slices.SortFunc(st.matches, byPeer)
		c.markChanged(st)
	}
}

func (c *Compiler) state(cohort *policy.Cohort) *cohortState {
	st := c.states[cohort]
	if st == nil {
		st = &cohortState{cohort: cohort}
		c.states[cohort] = st
	}
	return st
}

func (st *cohortState) add(m match) {
	i, _ := slices.BinarySearchFunc(st.matches, m, byPeer)
	st.matches = slices.Insert(st.matches, i, m)
}

func byPeer(a, b match) int { return cmp.Compare(a.peer.id, b.peer.id) }

func (c *Compiler) markChanged(st *cohortState) {
	if !st.changed {
		st.changed = true
		c.changed = append(c.changed, st)
	}
}

// reclass moves a cohort to the class for the matches of the cohort.
func (c *Compiler) reclass(st *cohortState) {
	next := c.class(st.matches)
	if len(st.matches) == 0 {
		delete(c.states, st.cohort)
	}
	if next == st.class {
		return
	}
	if st.class != nil {
		delete(st.class.members, st)
		c.idle = append(c.idle, st.class)
	}
	if next != nil {
		next.members[st] = struct{}{}
	}
	st.class = next
	for _, p := range st.cohort.Pods() {
		c.changes.Addresses = append(c.changes.Addresses, p.Addresses...)
	}
}

// class returns the class for a list of matches, or nil if the list is empty. If it creates the
// class, it marks as dirty every program that uses one of the matching peers.
func (c *Compiler) class(matches []match) *class {
	if len(matches) == 0 {
		return nil
	}
	var buf [256]byte
	key := buf[:0]
	for _, m := range matches {
		key = binary.NativeEndian.AppendUint32(key, m.peer.id)
		key = binary.NativeEndian.AppendUint16(key, m.number)
	}
	cl := c.classes[string(key)]
	if cl == nil {
		cl = &class{id: rule.Class(c.classIDs.take()), key: string(key), matches: slices.Clone(matches), members: map[*cohortState]struct{}{}}
		c.classes[cl.key] = cl
		for _, m := range cl.matches {
			m.peer.classes[cl] = m.number
			c.markProgramsDirty(m.peer)
		}
	}
	return cl
}

func (c *Compiler) markProgramsDirty(p *peer) {
	for used := range p.programs {
		c.markDirty(used)
	}
}

// retireClasses removes the classes that no longer contain any address.
func (c *Compiler) retireClasses() {
	c.classIDs.settle()
	for _, cl := range c.idle {
		if len(cl.members) > 0 || cl.addresses > 0 || c.classes[cl.key] != cl {
			continue
		}
		delete(c.classes, cl.key)
		c.classIDs.release(uint32(cl.id))
		for _, m := range cl.matches {
			delete(m.peer.classes, cl)
			c.markProgramsDirty(m.peer)
		}
	}
	c.idle = c.idle[:0]
}

// classOf returns the class of a pod's address. If no peer with a block matches the address,
// this is the class of the pod's cohort.
func (c *Compiler) classOf(p *policy.TrackedPod, a netip.Addr) rule.Class {
	st := c.states[p.Cohort()]
	own := c.blockMatches(p, a)
	if len(own) == 0 {
		c.setAddressClass(a, nil)
		if st == nil || st.class == nil {
			return 0
		}
		return st.class.id
	}
	if st != nil {
		own = append(own, st.matches...)
		slices.SortFunc(own, byPeer)
	}
	cl := c.class(own)
	c.setAddressClass(a, cl)
	return cl.id
}

// blockMatches returns the matches of a pod's address with peers that have a block. It does
// not return the matches of the pod's cohort.
func (c *Compiler) blockMatches(p *policy.TrackedPod, a netip.Addr) []match {
	var out []match
	for _, peer := range c.peers.blocks {
		if !peer.block.Contains(a) {
			continue
		}
		if number, ok := peer.match(p.Cohort()); ok {
			out = append(out, match{peer: peer, number: number})
		}
	}
	return out
}

// setAddressClass sets the class of a single address. This class overrides the class of the
// pod's cohort. If cl is nil, the class of the cohort applies again.
func (c *Compiler) setAddressClass(a netip.Addr, cl *class) {
	old := c.byAddress[a]
	if old == cl {
		return
	}
	if old != nil {
		old.addresses--
		c.idle = append(c.idle, old)
		delete(c.byAddress, a)
	}
	if cl != nil {
		cl.addresses++
		c.byAddress[a] = cl
	}
}
