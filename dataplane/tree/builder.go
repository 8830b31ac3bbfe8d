package tree

import (
	"fmt"
	"net/netip"

	"github.com/sluicenet/sluice/dataplane/rule"
)

// Builder follows the rules of one node and writes them as trees. What a delta
// does not touch keeps its encoding. A Builder is not safe for concurrent use.
type Builder struct {
	names      names
	ipv4, ipv6 addressTable
	programs   map[rule.ProgramID]*builtProgram
	pods       map[rule.PodID]*builtPod

	// The records of the tree, with free ones between them that are used again.
	podAt         []*builtPod
	endpoints     []builtEndpoint
	freePods      []uint32
	freeEndpoints []uint32

	// flat is flatLimit but in tests.
	flat int

	// The programs section as encoded last, until a program changes.
	programWords    []uint32
	programsChanged bool
}

type builtProgram struct {
	words []uint32
	// uses counts the directions of pods that have the program.
	uses int
	// offset in the programs section.
	offset uint32
}

type builtPod struct {
	name     string
	nameID   uint32
	number   uint32
	programs [2]rule.ProgramID // by rule.Direction
	// uses counts the pod's addresses.
	uses int
}

// builtEndpoint is free iff its address is the zero Addr.
type builtEndpoint struct {
	addr  netip.Addr
	class rule.Class
	pod   rule.PodID
}

// NewBuilder gives a builder for a node that has no rules yet. The node's name
// goes into every tree.
func NewBuilder(node string) *Builder {
	b := &Builder{
		names: newNames(), ipv4: newAddressTable(true), ipv6: newAddressTable(false),
		programs: map[rule.ProgramID]*builtProgram{}, pods: map[rule.PodID]*builtPod{},
		flat: flatLimit, programsChanged: true,
	}
	b.names.use(node)
	return b
}

// Apply makes the changes of a delta. A delta that is wrong in itself or does
// not fit the rules so far is refused as a whole: the error names the program,
// pod or address, and the builder stays as it was. Taking away what is not
// there is no error.
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
			programNames(old.words, b.names.drop)
			delete(b.programs, c.ID)
			b.programsChanged = true
		}
		return
	}
	b.programsChanged = true
	words := encodeProgram(c.Program, &b.names, b.flat)
	if old == nil {
		b.programs[c.ID] = &builtProgram{words: words}
		return
	}
	programNames(old.words, b.names.drop)
	old.words = words
}

// useProgram counts uses of a program. One that was just taken away has none
// left that matter.
func (b *Builder) useProgram(id rule.ProgramID, n int) {
	if p := b.programs[id]; p != nil {
		p.uses += n
	}
}

func (b *Builder) setPod(id rule.PodID, pod *rule.Pod) {
	p := b.pods[id]
	nameID := b.names.use(pod.Name)
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
		b.names.drop(p.nameID)
	}
	for direction, program := range [...]rule.ProgramID{rule.Egress: pod.Egress, rule.Ingress: pod.Ingress} {
		b.useProgram(program, 1)
		b.useProgram(p.programs[direction], -1)
		p.programs[direction] = program
	}
	p.name, p.nameID = pod.Name, nameID
}

func (b *Builder) removePod(id rule.PodID) {
	p := b.pods[id]
	if p == nil {
		return
	}
	b.names.drop(p.nameID)
	for _, program := range p.programs {
		b.useProgram(program, -1)
	}
	delete(b.pods, id)
	b.podAt[p.number] = nil
	b.freePods = append(b.freePods, p.number)
}

// reserve makes room for the addresses of a delta at once.
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
	// Changes of addresses that have an owner already need no room.
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
	table, key := b.table(a), addressOf(a)
	old := table.get(key)
	wasLocal := old&ownerMask == ownerLocal
	if wasLocal {
		b.pods[b.endpoints[old>>ownerBits].pod].uses--
	}
	if wasLocal && owner.Kind != rule.LocalPod {
		b.endpoints[old>>ownerBits] = builtEndpoint{}
		b.freeEndpoints = append(b.freeEndpoints, old>>ownerBits)
	}
	switch owner.Kind {
	case rule.RemotePod:
		table.set(key, uint32(owner.Class)<<ownerBits|ownerRemote)
	case rule.ThisNode:
		table.set(key, ownerThisNode)
	case rule.LocalPod:
		number := old >> ownerBits
		if !wasLocal {
			number = b.newEndpoint()
			table.set(key, number<<ownerBits|ownerLocal)
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
