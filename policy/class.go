package policy

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/sluicenet/sluice/dataplane/rule"
)

// usedPeers are the peers in the rules of the programs in use. in and across
// are the places to look when a cohort is matched: by the one namespace a peer
// sees, and those that see several. blocks are matched by address.
type usedPeers struct {
	all    map[*peer]*usedPeer
	in     map[string][]*usedPeer
	across []*usedPeer
	blocks []*usedPeer
	fresh  []*usedPeer
	stale  []*usedPeer
}

// usedPeer is a peer with the classes that match it, each with the port number
// when the peer names a port, and the programs that have to know.
type usedPeer struct {
	*peer
	programs map[*program]struct{}
	classes  map[*class]uint16
}

// match is one peer that matches a cohort or an address.
type match struct {
	peer   *usedPeer
	number uint16
}

// class is a set of matches that some address has.
type class struct {
	id      rule.Class
	key     string
	matches []match
	// members are the cohorts whose addresses have the class, unless a block
	// says otherwise of one; addresses counts those of which one does.
	members   map[*cohortState]struct{}
	addresses int
}

// cohortState is a cohort that some used peer matches.
type cohortState struct {
	cohort *cohort
	// matches by peer id, ascending.
	matches []match
	class   *class
	changed bool
}

// use notes that a program's rules name a peer.
func (c *Compiler) use(p *peer, by *program) {
	u := c.peers.all[p]
	if u == nil {
		u = &usedPeer{peer: p, programs: map[*program]struct{}{}, classes: map[*class]uint16{}}
		c.peers.add(u)
	}
	u.programs[by] = struct{}{}
}

// unuse takes back what use noted.
func (c *Compiler) unuse(p *peer, by *program) {
	u := c.peers.all[p]
	if u == nil {
		return
	}
	delete(u.programs, by)
	if len(u.programs) == 0 {
		c.peers.remove(u)
	}
}

func (ps *usedPeers) add(u *usedPeer) {
	ps.all[u.peer] = u
	ps.fresh = append(ps.fresh, u)
	switch {
	case u.block != nil:
		ps.blocks = append(ps.blocks, u)
	case u.pods.Namespace != "":
		ps.in[u.pods.Namespace] = append(ps.in[u.pods.Namespace], u)
	default:
		ps.across = append(ps.across, u)
	}
}

func (ps *usedPeers) remove(u *usedPeer) {
	delete(ps.all, u.peer)
	ps.stale = append(ps.stale, u)
	without := func(list []*usedPeer) []*usedPeer {
		return slices.DeleteFunc(list, func(o *usedPeer) bool { return o == u })
	}
	switch {
	case u.block != nil:
		ps.blocks = without(ps.blocks)
	case u.pods.Namespace != "":
		if ps.in[u.pods.Namespace] = without(ps.in[u.pods.Namespace]); len(ps.in[u.pods.Namespace]) == 0 {
			delete(ps.in, u.pods.Namespace)
		}
	default:
		ps.across = without(ps.across)
	}
}

// classify brings the cohorts' classes up to date and touches the addresses of
// those whose class changed.
func (c *Compiler) classify() {
	for _, u := range c.peers.stale {
		c.forget(u)
	}
	for _, u := range c.peers.fresh {
		c.find(u)
	}
	c.peers.stale, c.peers.fresh = nil, nil
	for _, co := range c.touchedCohorts {
		c.match(co)
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

// find matches a newly used peer against the cohorts it can see.
func (c *Compiler) find(u *usedPeer) {
	if u.block != nil {
		for a := range c.snapshot.owners.one {
			if covers(u.block, a) {
				c.touchedAddrs = append(c.touchedAddrs, a)
			}
		}
		return
	}
	in := func(ns *namespace) {
		if !u.seesNamespace(ns) {
			return
		}
		for _, co := range ns.ordered {
			if number, ok := u.match(co); ok {
				st := c.state(co)
				st.add(match{peer: u, number: number})
				c.markChanged(st)
			}
		}
	}
	if u.pods.Namespace == "" {
		for _, ns := range c.snapshot.order {
			in(ns)
		}
	} else if ns := c.snapshot.namespaces[u.pods.Namespace]; ns != nil {
		in(ns)
	}
}

// forget takes a peer that is used no more out of all matches.
func (c *Compiler) forget(u *usedPeer) {
	for cl := range u.classes {
		for st := range cl.members {
			st.matches = slices.DeleteFunc(st.matches, func(m match) bool { return m.peer == u })
			c.markChanged(st)
		}
		if cl.addresses == 0 {
			continue
		}
		for a, other := range c.byAddress {
			if other == cl {
				c.touchedAddrs = append(c.touchedAddrs, a)
			}
		}
	}
}

// match matches a cohort that came, went or whose namespace changed against
// all used peers.
func (c *Compiler) match(co *cohort) {
	st := c.states[co]
	if st != nil {
		st.matches = st.matches[:0]
	}
	if co.place >= 0 {
		for _, list := range [...][]*usedPeer{c.peers.in[co.ns.name], c.peers.across} {
			for _, u := range list {
				if !u.seesNamespace(co.ns) {
					continue
				}
				if number, ok := u.match(co); ok {
					st = c.state(co)
					st.matches = append(st.matches, match{peer: u, number: number})
				}
			}
		}
	}
	if st != nil {
		slices.SortFunc(st.matches, byPeer)
		c.markChanged(st)
	}
}

func (c *Compiler) state(co *cohort) *cohortState {
	st := c.states[co]
	if st == nil {
		st = &cohortState{cohort: co}
		c.states[co] = st
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

// reclass gives a cohort the class of its matches.
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
	for _, p := range st.cohort.pods {
		c.touchedAddrs = append(c.touchedAddrs, p.Addresses...)
	}
}

// class gives the class of a set of matches, nil for the empty one. It is made
// when there is none like it, and then every program that names one of its
// peers has to be written again.
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
			m.peer.rewrite(c)
		}
	}
	return cl
}

// rewrite marks the programs that name the peer.
func (u *usedPeer) rewrite(c *Compiler) {
	for p := range u.programs {
		c.markDirty(p)
	}
}

// retireClasses takes away the classes that no address has any more.
func (c *Compiler) retireClasses() {
	c.classIDs.settle()
	for _, cl := range c.idle {
		if len(cl.members) > 0 || cl.addresses > 0 || c.classes[cl.key] != cl {
			continue
		}
		delete(c.classes, cl.key)
		c.classIDs.give(uint32(cl.id))
		for _, m := range cl.matches {
			delete(m.peer.classes, cl)
			m.peer.rewrite(c)
		}
	}
	c.idle = c.idle[:0]
}

// classOf gives the class of a pod's address: its cohort's, unless a block with
// a port name covers the address.
func (c *Compiler) classOf(p *pod, a netip.Addr) rule.Class {
	st := c.states[p.cohort]
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

// blockMatches gives the matches that an address has on top of its pod's.
func (c *Compiler) blockMatches(p *pod, a netip.Addr) []match {
	var out []match
	for _, u := range c.peers.blocks {
		if !covers(u.block, a) {
			continue
		}
		if number, ok := u.match(p.cohort); ok {
			out = append(out, match{peer: u, number: number})
		}
	}
	return out
}

// setAddressClass notes the class that an address has by itself, nil for none.
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
