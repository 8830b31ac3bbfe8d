package tree

import (
	"iter"
	"net/netip"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/tree/internal/format"
)

// name returns the name with the given number, or "" if no name has this number. The
// result is a copy, so it stays valid after the tree is closed.
func (t *Tree) name(number uint32) string {
	if !t.isName(number) {
		return ""
	}
	first, length := t.names[2*number], t.names[2*number+1]
	return string(t.nameBytes[first : first+length])
}

// Rule implements rule.Namer.
func (t *Tree) Rule(s rule.Side) (policy string, index int, ok bool) {
	if s.Reason != rule.Matched {
		return "", 0, false
	}
	policy, index = t.ruleOf(s.Ref.Program, s.Ref.Rule)
	return policy, index, true
}

// ruleOf returns the policy of a rule, and the index of the rule in the policy. The parameter
// program is the offset of the program that contains the rule. The parameter number is the
// number of the rule in this program.
func (t *Tree) ruleOf(program, number uint32) (policy string, index int) {
	p := t.programs[program:]
	r := p[format.ProgramBody+p[format.ProgramIsolated]+number*format.RuleWords:]
	return t.name(r[format.RuleName]), int(r[format.RuleIndex])
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
	// EgressIsolated and IngressIsolated report for each direction whether a policy isolates
	// the pod.
	EgressIsolated, IngressIsolated bool
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
				Name:            t.name(pod[format.PodName]),
				Addresses:       addresses[i],
				EgressIsolated:  pod[format.PodPrograms+rule.Egress] != 0,
				IngressIsolated: pod[format.PodPrograms+rule.Ingress] != 0,
			}) {
				return
			}
		}
	}
}

// Pod implements rule.Namer.
func (t *Tree) Pod(a netip.Addr) (name string, ok bool) {
	e := t.find(a)
	if e.endpoint == nil {
		return "", false
	}
	return t.name(t.pods[e.endpoint[format.EndpointPod]*format.PodWords+format.PodName]), true
}
