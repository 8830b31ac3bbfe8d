package policy

import (
	"net/netip"
	"slices"

	"github.com/sluicenet/sluice/dataplane/rule"
)

// Compiler works out what a snapshot's policies mean on one node, change by
// change.
type Compiler struct {
	snapshot *Snapshot
	node     string

	// What the snapshot has touched since the last Delta. An entry may come
	// more than once and its object may be gone by now.
	touchedPods       []*pod
	touchedNamespaces []*namespace
	touchedCohorts    []*cohort
	touchedAddrs      []netip.Addr

	pods       map[*pod]*localPod
	podIDs     ids
	programs   map[string]*program
	programIDs ids
	// dirty are the programs whose rules have to be written again.
	dirty []*program

	peers      usedPeers
	states     map[*cohort]*cohortState
	changed    []*cohortState
	classes    map[string]*class
	idle       []*class
	classIDs   ids
	byAddress  map[netip.Addr]*class
	sentOwners map[netip.Addr]rule.Owner
}

// localPod is a live pod of the node and its programs, nil where no policy
// isolates it.
type localPod struct {
	id       rule.PodID
	programs [2]*program
}

// Compile gives a compiler for a node that follows the snapshot from now on,
// until it is closed.
func (s *Snapshot) Compile(nodeName string) *Compiler {
	c := &Compiler{
		snapshot:   s,
		node:       nodeName,
		pods:       map[*pod]*localPod{},
		programs:   map[string]*program{},
		peers:      usedPeers{all: map[*peer]*usedPeer{}, in: map[string][]*usedPeer{}},
		states:     map[*cohort]*cohortState{},
		classes:    map[string]*class{},
		byAddress:  map[netip.Addr]*class{},
		sentOwners: map[netip.Addr]rule.Owner{},
	}
	if n := s.nodes[nodeName]; n != nil {
		for p := range n.pods {
			if p.live() {
				c.touchedPods = append(c.touchedPods, p)
				c.touchedAddrs = append(c.touchedAddrs, p.Addresses...)
			}
		}
		slices.SortFunc(c.touchedPods, byAge)
		for a := range n.addresses {
			c.touchedAddrs = append(c.touchedAddrs, a)
		}
	}
	s.followers = append(s.followers, c)
	return c
}

// Close stops following the snapshot.
func (c *Compiler) Close() {
	c.snapshot.followers = slices.DeleteFunc(c.snapshot.followers, func(f *Compiler) bool { return f == c })
}

// Delta gives what changed in the node's rules since the last call; the first
// call gives them all. The programs in it are not changed afterwards.
func (c *Compiler) Delta() rule.Delta {
	var d rule.Delta
	c.podIDs.settle()
	c.programIDs.settle()
	c.assignPrograms(&d)
	c.retirePrograms(&d)
	c.classify()
	c.nameOwners(&d)
	c.retireClasses()
	c.writePrograms(&d)
	c.touchedPods, c.touchedNamespaces, c.touchedCohorts, c.touchedAddrs = nil, nil, nil, nil
	return d
}

// byAge orders pods by their cohort's appearance and their place in it.
func byAge(p, q *pod) int {
	if p.cohort != q.cohort {
		if p.cohort.number < q.cohort.number {
			return -1
		}
		return 1
	}
	return p.place - q.place
}

// nameOwners settles who owns the touched addresses, as far as the node's
// rules care. An address that was touched twice has its owner by the first
// time, so no address comes twice in a Delta.
func (c *Compiler) nameOwners(d *rule.Delta) {
	for _, a := range c.touchedAddrs {
		o := c.owner(a)
		if o == c.sentOwners[a] {
			continue
		}
		if o.Kind == rule.NoOwner {
			delete(c.sentOwners, a)
		} else {
			c.sentOwners[a] = o
		}
		d.Addresses = append(d.Addresses, rule.AddressChange{Addr: a, Owner: o})
	}
}

// owner says who has an address. A node's own address is the node's even if
// some pod claims it: there the kernel delivers it.
func (c *Compiler) owner(a netip.Addr) rule.Owner {
	if n := c.snapshot.nodes[c.node]; n != nil && n.addresses[a] > 0 {
		c.setAddressClass(a, nil)
		return rule.Owner{Kind: rule.ThisNode}
	}
	p := c.snapshot.owners.of(a)
	if p == nil {
		c.setAddressClass(a, nil)
		return rule.Owner{}
	}
	class := c.classOf(p, a)
	if local := c.pods[p]; local != nil {
		return rule.Owner{Kind: rule.LocalPod, Class: class, Pod: local.id}
	}
	if class == 0 {
		return rule.Owner{}
	}
	return rule.Owner{Kind: rule.RemotePod, Class: class}
}

// ids hands out numbers from 1. A number given back is handed out again only
// after settle, so that one Delta never says two things of one number.
type ids struct {
	last        uint32
	free, freed []uint32
}

func (i *ids) take() uint32 {
	if n := len(i.free); n > 0 {
		id := i.free[n-1]
		i.free = i.free[:n-1]
		return id
	}
	i.last++
	return i.last
}

func (i *ids) give(id uint32) { i.freed = append(i.freed, id) }

func (i *ids) settle() {
	i.free = append(i.free, i.freed...)
	i.freed = i.freed[:0]
}
