package tree

import (
	"iter"
	"net/netip"
	"slices"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/tree/internal/format"
)

// name returns the name with the given number, or "" if no name has this number. The
// result is a copy, so it stays valid after the tree is closed.
func (t *Tree) name(number uint32) string { return string(t.nameBytesOf(number)) }

// nameBytesOf is like the method `name`, but the result is a part of the tree.
func (t *Tree) nameBytesOf(number uint32) []byte {
	if !t.isName(number) {
		return nil
	}
	first, length := t.names[2*number], t.names[2*number+1]
	return t.nameBytes[first : first+length]
}

// Rule implements rule.Namer.
func (t *Tree) Rule(s rule.Side) (source rule.Source, ok bool) {
	if s.Reason != rule.Matched {
		return rule.Source{}, false
	}
	return t.sourceIn(s.Ref.Program, s.Ref.Rule), true
}

// Passed implements rule.Namer.
func (t *Tree) Passed(s rule.Side) []rule.Source {
	var out []rule.Source
	if s.Passed != 0 {
		out = append(out, t.source(rule.AdminTier, s.Passed))
	}
	if undecided := s.Reason == rule.NotIsolated || s.Reason == rule.SamePod; undecided && s.Ref.Program != 0 {
		out = append(out, t.sourceIn(s.Ref.Program, s.Ref.Rule))
	}
	return out
}

// ruleAt returns the position of a rule in the section with the programs. The `program` parameter is
// the offset of the program that contains the rule. The `number` parameter is the number of the rule
// in this program.
func (t *Tree) ruleAt(program, number uint32) uint32 {
	return program + format.ProgramBody + t.programs[program+format.ProgramIsolated] + number*format.RuleWords
}

// source describes a rule. The `tier` parameter is the tier of the rule. The `at` parameter is the
// position of the rule in the section with the programs.
func (t *Tree) source(tier rule.Tier, at uint32) rule.Source {
	r := t.programs[at : at+format.RuleWords]
	return rule.Source{
		Tier: tier, Policy: t.name(r[format.RuleName]), Index: int(r[format.RuleIndex]), Action: rule.Action(r[format.RuleAction]),
	}
}

// sourceIn describes a rule of a program.
func (t *Tree) sourceIn(program, number uint32) rule.Source {
	return t.source(rule.Tier(t.programs[program+format.ProgramTier]), t.ruleAt(program, number))
}

// IsolatedBy implements rule.Namer.
func (t *Tree) IsolatedBy(s rule.Side) []string {
	if s.Ref.Program == 0 {
		return nil
	}
	p := t.programs[s.Ref.Program:]
	policies := make([]string, p[format.ProgramIsolated])
	for i := range policies {
		policies[i] = t.name(p[format.ProgramBody+i])
	}
	return policies
}

// Pod is a local pod of a tree.
type Pod struct {
	// Name is "namespace/name".
	Name string
	// Addresses lists the addresses of the pod in no particular order. It is empty if the
	// pod does not have an address yet.
	Addresses []netip.Addr
	// DeniesEgress reports whether a policy can deny flows from the pod. DeniesIngress reports
	// whether a policy can deny flows to the pod. If only accepting rules apply to a pod, its
	// flows need no evaluation.
	DeniesEgress, DeniesIngress bool
}

// Pods returns the pods of the node in no particular order.
func (t *Tree) Pods() iter.Seq[Pod] {
	return func(yield func(Pod) bool) {
		addresses := make([][]netip.Addr, len(t.pods)/format.PodWords)
		for e := t.endpoints; len(e) > 0; e = e[format.EndpointWords:] {
			if family := e[format.EndpointClass] & format.OwnerMask; family != 0 {
				a := format.AddressFrom(e[format.EndpointAddress:]).Addr(family == format.EndpointIPv4)
				addresses[e[format.EndpointPod]] = append(addresses[e[format.EndpointPod]], a)
			}
		}
		for i := range addresses {
			pod := t.pods[i*format.PodWords:]
			if pod[format.PodName] == format.NoName {
				continue
			}
			if !yield(Pod{
				Name:          t.name(pod[format.PodName]),
				Addresses:     addresses[i],
				DeniesEgress:  t.denies(pod, rule.Egress),
				DeniesIngress: t.denies(pod, rule.Ingress),
			}) {
				return
			}
		}
	}
}

// denies reports whether a pod has at least one program for the direction that can deny a flow.
// The `pod` parameter is the record of the pod.
func (t *Tree) denies(pod []uint32, d rule.Direction) bool {
	for _, program := range pod[format.PodPrograms+int(d)*format.Tiers:][:format.Tiers] {
		if program != 0 && t.programs[program+format.ProgramDenies] != 0 {
			return true
		}
	}
	return false
}

// Policies returns the names of all policies in the tree, in ascending order.
func (t *Tree) Policies() []string {
	numbers := map[uint32]struct{}{}
	for rest := t.programs[format.Alignment:]; len(rest) > 0; rest = rest[rest[format.ProgramLength]:] {
		isolated, rules := rest[format.ProgramIsolated], rest[format.ProgramRules]
		names := rest[format.ProgramBody : format.ProgramBody+isolated]
		for _, number := range names {
			numbers[number] = struct{}{}
		}
		for i := range rules {
			numbers[rest[format.ProgramBody+isolated+i*format.RuleWords+format.RuleName]] = struct{}{}
		}
	}
	out := make([]string, 0, len(numbers))
	for number := range numbers {
		out = append(out, t.name(number))
	}
	slices.Sort(out)
	return out
}

// Pod implements rule.Namer.
func (t *Tree) Pod(a netip.Addr) (name string, ok bool) {
	e := t.find(a)
	if e.endpoint == nil {
		return "", false
	}
	return t.name(t.pods[e.endpoint[format.EndpointPod]*format.PodWords+format.PodName]), true
}
