package lint

import (
	"cmp"
	"slices"

	"github.com/sluicenet/sluice/policy"
)

// Severity states how likely a finding is a mistake.
type Severity string

// The severities, most severe first.
const (
	// Error is a part of a policy that cannot be understood and allows nothing.
	Error Severity = "error"
	// Warning is a part that almost certainly does not do what was meant.
	Warning Severity = "warning"
	// Note is a part that is worth a look and may be intended.
	Note Severity = "note"
)

// Finding is one result of a check.
type Finding struct {
	Severity Severity `json:"severity"`
	// Check is the name of the check, such as no-pod-selected.
	Check string `json:"check"`
	// Policy is "namespace/name". It is empty if the finding is about a
	// namespace.
	Policy string `json:"policy,omitempty"`
	// Namespace is the namespace of the policy, or the one that the finding is
	// about.
	Namespace string `json:"namespace"`
	// Field is the path in the policy, such as spec.ingress[0].from[1].
	Field string `json:"field,omitempty"`
	// Message is one sentence that states what was found.
	Message string `json:"message"`
	// Fix states what to write instead. It is empty if Message does.
	Fix string `json:"fix,omitempty"`

	// order is the position of Field in the policy.
	order position
}

// Run runs all checks on every policy of a snapshot. It returns the findings
// sorted by namespace and policy and, within a policy, in the order of its
// spec. While the snapshot has no pod or no namespace, checks that depend on
// them find nothing, because it is unknown what a selector matches.
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
