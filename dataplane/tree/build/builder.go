// Package build builds trees. A Builder applies changes to the rules of one node, and
// encodes the current rules as an image. A publisher writes the image to a tree file.
package build

import (
	"fmt"
	"net/netip"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/tree/internal/format"
)

// Builder stores the rules of one node and encodes them as trees. It encodes a program again
// only if a delta changes the program. A Builder is not safe for concurrent use.
type Builder struct {
	names      names
	ipv4, ipv6 addressTable
	programs   map[rule.ProgramID]*builtProgram
	pods       map[rule.PodID]*builtPod

	// The list podAt contains the pod records of the tree, and the list `endpoints` contains the
	// endpoint records. The index of a record is its number. A free record is nil in podAt, or the
	// zero Addr in `endpoints`. The lists freePods and freeEndpoints contain the numbers of free
	// records, which are reused for new pods and addresses.
	podAt         []*builtPod
	endpoints     []builtEndpoint
	freePods      []uint32
	freeEndpoints []uint32

	// flatLimit is the flat limit for programs that are added or replaced. See
	// DefaultFlatLimit.
	flatLimit int

	// programWords is the latest encoding of the programs section. If programsChanged is set,
	// the encoding is out of date.
	programWords    []uint32
	programsChanged bool
}

type builtProgram struct {
	words []uint32
	// uses is the number of references from pods to the program. If a pod uses the program for
	// both directions, the pod counts as two references.
	uses int
	// offset is the position of the program in the programs section, in words.
	offset uint32
}

type builtPod struct {
	name     string
	nameID   uint32
	number   uint32
	programs [format.Programs]rule.ProgramID // See rule.Pod.Programs.
	// uses is the number of addresses of the pod.
	uses int
}

// builtEndpoint is an endpoint record: an address of a local pod. If the address is the zero
// Addr, the record is free.
type builtEndpoint struct {
	addr  netip.Addr
	class rule.Class
	pod   rule.PodID
}

// New returns a builder without rules for the named node. Every tree that the builder
// encodes contains the name of the node.
func New(node string) *Builder {
	b := &Builder{
		names: newNames(), ipv4: newAddressTable(true), ipv6: newAddressTable(false),
		programs: map[rule.ProgramID]*builtProgram{}, pods: map[rule.PodID]*builtPod{},
		flatLimit: DefaultFlatLimit, programsChanged: true,
	}
	b.names.acquire(node)
	return b
}

// SetFlatLimit sets the flat limit for programs that are added or replaced later. See
// DefaultFlatLimit.
func (b *Builder) SetFlatLimit(limit int) { b.flatLimit = limit }

// Apply applies a delta. If the delta is invalid, or conflicts with the current rules, Apply
// returns an error that names the program, pod or address. In this case, the builder is
// unchanged. It is not an error to remove a program, pod or address that does not exist.
func (b *Builder) Apply(d rule.Delta) error {
	if err := b.check(d); err != nil {
		return fmt.Errorf("applying delta: %w", err)
	}
	for _, c := range d.Programs {
		b.setProgram(c)
	}
	for _, c := range d.Pods {
		if c.Pod != nil {
			b.setPod(c.ID, c.Pod)
		}
	}
	b.reserve(d.Addresses)
	for _, c := range d.Addresses {
		b.setAddress(c.Addr, c.Owner)
	}
	for _, c := range d.Pods {
		if c.Pod == nil {
			b.removePod(c.ID)
		}
	}
	return nil
}

func (b *Builder) setProgram(c rule.ProgramChange) {
	old := b.programs[c.ID]
	if c.Program == nil {
		if old != nil {
			programNames(old.words, b.names.release)
			delete(b.programs, c.ID)
			b.programsChanged = true
		}
		return
	}
	b.programsChanged = true
	words := encodeProgram(c.Program, &b.names, b.flatLimit)
	if old == nil {
		b.programs[c.ID] = &builtProgram{words: words}
		return
	}
	programNames(old.words, b.names.release)
	old.words = words
}

// addUses adds n to the number of uses of a program. If the program does not exist, addUses
// does nothing. A program does not exist if its ID is 0 or if the same delta removed it.
func (b *Builder) addUses(id rule.ProgramID, n int) {
	if p := b.programs[id]; p != nil {
		p.uses += n
	}
}

func (b *Builder) setPod(id rule.PodID, pod *rule.Pod) {
	p := b.pods[id]
	nameID := b.names.acquire(pod.Name)
	if p == nil {
		p = &builtPod{}
		if last := len(b.freePods) - 1; last >= 0 {
			p.number, b.freePods = b.freePods[last], b.freePods[:last]
			b.podAt[p.number] = p
		} else {
			p.number = uint32(len(b.podAt))
			b.podAt = append(b.podAt, p)
		}
		b.pods[id] = p
	} else {
		b.names.release(p.nameID)
	}
	for i, program := range pod.Programs() {
		b.addUses(program, 1)
		b.addUses(p.programs[i], -1)
		p.programs[i] = program
	}
	p.name, p.nameID = pod.Name, nameID
}

func (b *Builder) removePod(id rule.PodID) {
	p := b.pods[id]
	if p == nil {
		return
	}
	b.names.release(p.nameID)
	for _, program := range p.programs {
		b.addUses(program, -1)
	}
	delete(b.pods, id)
	b.podAt[p.number] = nil
	b.freePods = append(b.freePods, p.number)
}

// reserve grows each address table for all addresses that a large delta adds. The table is then
// resized once instead of repeatedly.
func (b *Builder) reserve(changes []rule.AddressChange) {
	var more4, more6 int
	for _, c := range changes {
		switch {
		case c.Owner.Kind == rule.NoOwner:
		case c.Addr.Is4():
			more4++
		default:
			more6++
		}
	}
	// Do not reserve space for a small delta, because most of its addresses may already be in
	// the table.
	if more4 > b.ipv4.used {
		b.ipv4.reserve(more4)
	}
	if more6 > b.ipv6.used {
		b.ipv6.reserve(more6)
	}
}

func (b *Builder) table(a netip.Addr) *addressTable {
	if a.Is4() {
		return &b.ipv4
	}
	return &b.ipv6
}

func (b *Builder) setAddress(a netip.Addr, owner rule.Owner) {
	table, key := b.table(a), format.AddressOf(a)
	old := table.get(key)
	wasLocal := old&format.OwnerMask == format.OwnerLocal
	if wasLocal {
		b.pods[b.endpoints[old>>format.OwnerBits].pod].uses--
	}
	if wasLocal && owner.Kind != rule.LocalPod {
		b.endpoints[old>>format.OwnerBits] = builtEndpoint{}
		b.freeEndpoints = append(b.freeEndpoints, old>>format.OwnerBits)
	}
	switch owner.Kind {
	case rule.RemotePod:
		table.set(key, uint32(owner.Class)<<format.OwnerBits|format.OwnerRemote)
	case rule.ThisNode:
		table.set(key, format.OwnerThisNode)
	case rule.LocalPod:
		number := old >> format.OwnerBits
		if !wasLocal {
			number = b.newEndpoint()
			table.set(key, number<<format.OwnerBits|format.OwnerLocal)
		}
		b.endpoints[number] = builtEndpoint{addr: a, class: owner.Class, pod: owner.Pod}
		b.pods[owner.Pod].uses++
	default:
		table.set(key, 0)
	}
}

func (b *Builder) newEndpoint() uint32 {
	if last := len(b.freeEndpoints) - 1; last >= 0 {
		number := b.freeEndpoints[last]
		b.freeEndpoints = b.freeEndpoints[:last]
		return number
	}
	b.endpoints = append(b.endpoints, builtEndpoint{})
	return uint32(len(b.endpoints) - 1)
}
