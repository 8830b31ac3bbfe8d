// Package lint finds NetworkPolicies that do not do what they seem to: valid
// as far as the API server is concerned, and still not what their author can
// have meant. It looks at policies together with the pods and namespaces they
// are about. Like package policy it is pure.
package lint

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/sluicenet/sluice/policy"
)

// Severity says how sure a finding is to matter.
type Severity string

// The severities, the gravest first.
const (
	// Error is a part of a policy that cannot be understood and allows nothing.
	Error Severity = "error"
	// Warning is a part that almost surely does not do what was meant.
	Warning Severity = "warning"
	// Note is worth a look and may well be meant.
	Note Severity = "note"
)

// Finding is one thing found.
type Finding struct {
	Severity Severity `json:"severity"`
	// Check is the stable name of what was looked for, such as no-pod-selected.
	Check string `json:"check"`
	// Policy is "namespace/name"; empty where the finding is about a namespace.
	Policy string `json:"policy,omitempty"`
	// Namespace is the policy's, or the one that the finding is about.
	Namespace string `json:"namespace"`
	// Field is the path of what was found, such as spec.ingress[0].from[1].
	Field string `json:"field,omitempty"`
	// Message says in a sentence what is the case.
	Message string `json:"message"`
	// Mend says what to write instead; empty where Message does.
	Mend string `json:"mend,omitempty"`

	// rank keeps the findings of one policy in the order of its spec.
	rank int
}

// Check looks at every policy of the snapshot and gives the findings by
// policy, in the order of its spec. What depends on pods or namespaces is left
// out while the snapshot has no pod, or no namespace: then nothing can be said
// about whom a selector matches.
func Check(s *policy.Snapshot) []Finding {
	w := newWorld(s)
	for _, problem := range s.Problems() {
		w.problem(problem)
	}
	for _, p := range w.policies {
		c := check{world: w, subject: p}
		c.run()
	}
	w.missingNamespaces()
	slices.SortStableFunc(w.findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Policy, b.Policy), cmp.Compare(a.rank, b.rank))
	})
	return w.findings
}

// check is the look at one policy.
type check struct {
	*world
	subject *subject
	rank    int
}

func (c *check) run() {
	c.selection()
	c.policyTypes()
	for i := range c.subject.rules {
		r := &c.subject.rules[i]
		c.entireRule(r)
		c.peers(r)
		c.blocks(r)
		c.namedPorts(r)
	}
	c.names()
}

// found adds a finding about a field.
func (c *check) found(severity Severity, name, field, mend, format string, args ...any) {
	c.rank++
	c.findings = append(c.findings, Finding{
		Severity: severity, Check: name, Policy: c.subject.name, Namespace: c.subject.namespace,
		Field: field, Message: fmt.Sprintf(format, args...), Mend: mend, rank: c.rank,
	})
}

// problem takes over what package policy could not understand.
func (w *world) problem(p policy.Problem) {
	namespace := p.Policy
	for i := range namespace {
		if namespace[i] == '/' {
			namespace = namespace[:i]
			break
		}
	}
	w.findings = append(w.findings, Finding{Severity: Error, Check: "not-understood", Policy: p.Policy, Namespace: namespace, Field: p.Field, Message: p.Message})
}
