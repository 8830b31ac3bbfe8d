package compile

import (
	"net/netip"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
)

// Compiler compiles the policies of a snapshot for one node.
type Compiler struct {
	snapshot *policy.Snapshot
	node     string
	// changes records which parts of the snapshot have changed since the last call of Delta.
	changes *policy.Changes

	pods       map[*policy.TrackedPod]*localPod
	podIDs     ids
	policies   map[policyKey]*compiledPolicy
	serial     uint32
	programs   map[string]*program
	programIDs ids
	// dirty lists the programs whose rules must be compiled again.
	dirty []*program

	peers      peers
	states     map[*policy.Cohort]*cohortState
	changed    []*cohortState
	classes    map[string]*class
	idle       []*class
	classIDs   ids
	byAddress  map[netip.Addr]*class
	sentOwners map[netip.Addr]rule.Owner
}

// localPod is a live pod of the compiler's node.
type localPod struct {
	id       rule.PodID
	programs podPrograms
}

// podPrograms contains the programs of a pod, by direction and tier. A program is nil if no policy
// of the tier affects the pod in this direction.
type podPrograms [2][rule.Tiers]*program

// New returns a compiler for a node. The compiler records changes of the snapshot until Close
// is called.
func New(s *policy.Snapshot, nodeName string) *Compiler {
	return &Compiler{
		snapshot:   s,
		node:       nodeName,
		changes:    s.Track(nodeName),
		pods:       map[*policy.TrackedPod]*localPod{},
		policies:   map[policyKey]*compiledPolicy{},
		programs:   map[string]*program{},
		peers:      peers{all: map[peerKey]*peer{}, in: map[string][]*peer{}},
		states:     map[*policy.Cohort]*cohortState{},
		classes:    map[string]*class{},
		byAddress:  map[netip.Addr]*class{},
		sentOwners: map[netip.Addr]rule.Owner{},
	}
}

// Close stops recording changes of the snapshot.
func (c *Compiler) Close() { c.changes.Close() }

// Delta returns the changes of the node's rules since the last call. The first call returns
// all rules. After Delta has returned a program, the compiler does not modify the program.
func (c *Compiler) Delta() rule.Delta {
	var d rule.Delta
	c.podIDs.settle()
	c.programIDs.settle()
	c.assignPrograms(&d)
	c.retirePrograms(&d)
	c.classify()
	c.assignOwners(&d)
	c.retireClasses()
	if c.changes.Nodes {
		c.markNodePrograms()
	}
	c.writePrograms(&d)
	c.changes.Clear()
	return d
}

// assignOwners adds changed addresses and their owners to the delta, and records each owner. It
// skips an address if the recorded owner is still the owner. So the delta contains an address
// only once, even if c.changes lists the address twice.
func (c *Compiler) assignOwners(d *rule.Delta) {
	for _, a := range c.changes.Addresses {
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

// owner returns the owner of an address. An address of the node itself always belongs to the node,
// even if a pod also claims it, because the kernel delivers packets for this address to the node.
// If no peer matches a remote pod, the pod does not affect the rules. For the addresses of such a
// pod, owner returns NoOwner.
func (c *Compiler) owner(a netip.Addr) rule.Owner {
	if c.snapshot.IsNodeAddress(c.node, a) {
		c.setAddressClass(a, nil)
		return rule.Owner{Kind: rule.ThisNode}
	}
	p := c.snapshot.TrackedOwner(a)
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

// ids assigns numbers, starting at 1. A released number becomes available only after the next call
// of the method `settle`. So a delta never uses one number for two objects.
type ids struct {
	last           uint32
	free, released []uint32
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

func (i *ids) release(id uint32) { i.released = append(i.released, id) }

func (i *ids) settle() {
	i.free = append(i.free, i.released...)
	i.released = i.released[:0]
}
