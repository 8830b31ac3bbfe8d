package lint

import (
	"cmp"
	"slices"

	"github.com/sluicenet/sluice/policy"
)

// Severity states how likely it is that a finding is a mistake.
type Severity string

// The severities, most severe first.
const (
	// Error marks a part of a policy that cannot be understood and therefore allows
	// nothing.
	Error Severity = "error"
	// Warning marks a part that almost certainly does not do what the author meant.
	Warning Severity = "warning"
	// Note marks a part that is possibly intended but that the author should check.
	Note Severity = "note"
)

// Finding is one result of a check.
type Finding struct {
	Severity Severity `json:"severity"`
	// Check is the name of the check, such as no-pod-selected.
	Check string `json:"check"`
	// Policy has the format "namespace/name". It is empty if the finding is about a
	// namespace.
	Policy string `json:"policy,omitempty"`
	// Namespace is the namespace that contains the policy, or the namespace that the
	// finding is about.
	Namespace string `json:"namespace"`
	// Field is the path of the field in the policy, such as spec.ingress[0].from[1].
	Field string `json:"field,omitempty"`
	// Message is one sentence that states what was found.
	Message string `json:"message"`
	// Fix states what to write instead. It is empty if Message contains the fix.
	Fix string `json:"fix,omitempty"`

	// order is the position of Field in the policy. It orders the findings of a policy.
	order position
}

// Run runs all checks on every policy of a snapshot. It sorts the findings by namespace and
// policy and, within a policy, by the order of the fields in the spec. If the snapshot
// contains no pods, the checks that compare selectors with pods find nothing, because Run
// cannot determine which pods a selector matches. The same applies to namespaces.
func Run(s *policy.Snapshot) []Finding {
	c := newCluster(s)
	var findings []Finding
	for i := range checks {
		p := pass{cluster: c, check: checks[i].Name}
		checks[i].run(&p)
		findings = append(findings, p.findings...)
	}
	slices.SortStableFunc(findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Policy, b.Policy), a.order.compare(b.order))
	})
	return findings
}
