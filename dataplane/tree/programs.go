package tree

import (
	"slices"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/tree/internal/format"
)

// Program is a program of a tree for one direction.
type Program struct {
	// Ref is the number with which rule.Ref identifies the program.
	Ref       uint32
	Direction rule.Direction
	Tier      rule.Tier
	// Unqueued is true if at least one pod uses the program although no program of the pod can deny
	// a flow in this direction. The dataplane does not evaluate all flows of such a pod.
	Unqueued bool

	tree *Tree
}

// Programs returns the programs that the pods of the node use, in ascending order of Ref and
// Direction.
func (t *Tree) Programs() []Program {
	type key struct {
		program   uint32
		direction rule.Direction
	}
	found := map[key]bool{}
	for pods := t.pods; len(pods) > 0; pods = pods[format.PodWords:] {
		if pods[format.PodName] == format.NoName {
			continue
		}
		for _, d := range []rule.Direction{rule.Egress, rule.Ingress} {
			denies := t.denies(pods, d)
			for _, program := range pods[format.PodPrograms+int(d)*format.Tiers:][:format.Tiers] {
				if program != 0 {
					found[key{program, d}] = found[key{program, d}] || !denies
				}
			}
		}
	}
	out := make([]Program, 0, len(found))
	for k, unqueued := range found {
		tier := rule.Tier(t.programs[k.program+format.ProgramTier])
		out = append(out, Program{Ref: k.program, Direction: k.direction, Tier: tier, Unqueued: unqueued, tree: t})
	}
	slices.SortFunc(out, func(a, b Program) int {
		if a.Ref != b.Ref {
			return int(a.Ref) - int(b.Ref)
		}
		return int(a.Direction) - int(b.Direction)
	})
	return out
}

// Len returns the number of rules in the program.
func (p *Program) Len() int { return int(p.tree.programs[p.Ref+format.ProgramRules]) }

// Rule returns the rule with the given number in the program. The numbers start at 0.
func (p *Program) Rule(number int) rule.Source { return p.tree.sourceIn(p.Ref, uint32(number)) }

// Index returns Rule(number).Index without reading the name of the policy.
func (p *Program) Index(number int) int {
	return int(p.tree.programs[p.tree.ruleAt(p.Ref, uint32(number))+format.RuleIndex])
}

// Position returns the number with which rule.Side.Passed identifies a rule of the program.
func (p *Program) Position(number int) uint32 { return p.tree.ruleAt(p.Ref, uint32(number)) }

// Fingerprint returns a number that identifies a rule of the program across the trees of the node.
// If the tree contains a fingerprint of the rule, Fingerprint returns it. Otherwise, Fingerprint
// computes the number from the name of the policy, and from the direction, the tier and the index
// of the rule.
func (p *Program) Fingerprint(number int) uint64 {
	t, at := p.tree, p.Position(number)
	if t.fingerprints {
		f := t.programs[p.Position(p.Len())+uint32(number)*format.FingerprintWords:]
		if sum := uint64(f[0]) | uint64(f[1])<<32; sum != 0 {
			return sum
		}
	}
	h := fnvOffset.add(byte(p.Tier), byte(p.Direction)).add(t.nameBytesOf(t.programs[at+format.RuleName])...)
	index := t.programs[at+format.RuleIndex]
	return uint64(h.add(0, byte(index), byte(index>>8), byte(index>>16), byte(index>>24)))
}

// IsolatedBy returns the names of the NetworkPolicies that isolate the pods, in ascending order.
func (p *Program) IsolatedBy() []string {
	return p.tree.IsolatedBy(rule.Side{Ref: rule.Ref{Program: p.Ref}})
}

// Isolation returns a number that identifies the direction and the list that IsolatedBy returns.
func (p *Program) Isolation() uint64 {
	words := p.tree.programs[p.Ref:]
	h := fnvOffset.add(byte(p.Direction))
	for _, name := range words[format.ProgramBody : format.ProgramBody+words[format.ProgramIsolated]] {
		h = h.add(0).add(p.tree.nameBytesOf(name)...)
	}
	return uint64(h)
}

// fnv is a 64-bit FNV-1a hash. The methods above use it instead of hash/fnv, because they are
// called for each rule of a new tree and must not allocate memory.
type fnv uint64

const (
	fnvOffset fnv = 14695981039346656037
	fnvPrime  fnv = 1099511628211
)

func (h fnv) add(bytes ...byte) fnv {
	for _, b := range bytes {
		h = (h ^ fnv(b)) * fnvPrime
	}
	return h
}
