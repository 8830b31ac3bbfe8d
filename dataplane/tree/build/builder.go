package build

import (
	"fmt"
	"net/netip"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/tree/internal/format"
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

	flatLimit int

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

// New returns a builder for a node that has no rules yet. The node's name
// goes into every tree.
func New(node string) *Builder {
	b := &Builder{
		names: newNames(), ipv4: newAddressTable(true), ipv6: newAddressTable(false),
		programs: map[rule.ProgramID]*builtProgram{}, pods: map[rule.PodID]*builtPod{},
		flatLimit: DefaultFlatLimit, programsChanged: true,
	}
	b.names.use(node)
	return b
}

// SetFlatLimit changes the flat limit of the programs that are added later. See
// DefaultFlatLimit.
func (b *Builder) SetFlatLimit(limit int) { b.flatLimit = limit }

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
	words := encodeProgram(c.Program, &b.names, b.flatLimit)
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
