package tree

import (
	"iter"
	"net/netip"

	"github.com/sluicenet/sluice/dataplane/rule"
)

// name gives a name as a string of its own, which outlives the mapping.
func (t *Tree) name(number uint32) string {
	if !t.isName(number) {
		return ""
	}
	first, length := t.names[2*number], t.names[2*number+1]
	return string(t.nameBytes[first : first+length])
}

// Rule names the rule that decided a side: its policy as "namespace/name" and
// its place in the policy's list for the direction. It is false unless the
// side's reason is Matched. The side must come from this tree.
func (t *Tree) Rule(s rule.Side) (policy string, index int, ok bool) {
	if s.Reason != rule.Matched {
		return "", 0, false
	}
	policy, index = t.ruleOf(s.Ref.Program, s.Ref.Rule)
	return policy, index, true
}

// ruleOf names a rule of the program that lies at an offset.
func (t *Tree) ruleOf(program, number uint32) (policy string, index int) {
	p := t.programs[program:]
	r := p[programBody+p[programIsolated]+number*ruleWords:]
	return t.name(r[ruleName]), int(r[ruleIndex])
}

// IsolatedBy names the policies that isolate the pod of a side, ascending. It
// is empty unless the side's reason is Matched or NoRuleMatched. The side must
// come from this tree.
func (t *Tree) IsolatedBy(s rule.Side) []string {
	if s.Ref.Program == 0 {
		return nil
	}
	p := t.programs[s.Ref.Program:]
	policies := make([]string, p[programIsolated])
	for i := range policies {
		policies[i] = t.name(p[programBody+i])
	}
	return policies
}

// Pod is a pod of the node.
type Pod struct {
	// Name is "namespace/name".
	Name string
	// Addresses in no particular order; perhaps none yet.
	Addresses []netip.Addr
	// EgressIsolated and IngressIsolated report whether any policy isolates the
	// pod in that direction.
	EgressIsolated, IngressIsolated bool
}

// Pods gives the pods of the node, in no particular order.
func (t *Tree) Pods() iter.Seq[Pod] {
	return func(yield func(Pod) bool) {
		addresses := make([][]netip.Addr, len(t.pods)/podWords)
		for e := t.endpoints; len(e) > 0; e = e[endpointWords:] {
			if family := e[endpointClass] & ownerMask; family != 0 {
				a := addressFrom(e[endpointAddress:]).addr(family == endpointIPv4)
				addresses[e[endpointPod]] = append(addresses[e[endpointPod]], a)
			}
		}
		for i := range addresses {
			pod := t.pods[i*podWords:]
			if pod[podName] == noName {
				continue
			}
			if !yield(Pod{
				Name:            t.name(pod[podName]),
				Addresses:       addresses[i],
				EgressIsolated:  pod[podPrograms+rule.Egress] != 0,
				IngressIsolated: pod[podPrograms+rule.Ingress] != 0,
			}) {
				return
			}
		}
	}
}

// Pod gives the name of the local pod that has an address.
func (t *Tree) Pod(a netip.Addr) (name string, ok bool) {
	e := t.find(a)
	if e.endpoint == nil {
		return "", false
	}
	return t.name(t.pods[e.endpoint[endpointPod]*podWords+podName]), true
}
