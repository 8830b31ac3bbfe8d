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
	// Error marks a part of a policy that cannot be understood and therefore allows
	// nothing.
	Error Severity = "error"
	// Warning marks a part that almost certainly does not do what the author meant.
	Warning Severity = "warning"
	// Note marks a part that the author possibly intended but should check.
	Note Severity = "note"
)

// Finding is one result of a check.
type Finding struct {
	Severity Severity `json:"severity"`
	// Check is the name of the check, such as no-pod-selected.
	Check string `json:"check"`
	// Policy has the format "namespace/name". If the finding is for a namespace, Policy is
	// empty.
	Policy string `json:"policy,omitempty"`
	// Namespace is the namespace of the policy. If the finding is for a namespace, Namespace
	// is the name of this namespace.
	Namespace string `json:"namespace"`
	// Field is the path of the field in the policy, such as spec.ingress[0].from[1].
	Field string `json:"field,omitempty"`
	// Message is one sentence that describes the finding.
	Message string `json:"message"`
	// Fix states what to write instead. If Message already contains the fix, Fix is empty.
	Fix string `json:"fix,omitempty"`

	// order is the position of Field in the policy. It determines the order of a policy's
	// findings.
	order position
}

// Run runs all checks on every policy of a snapshot. It sorts the findings by namespace and
// policy. The findings of a policy are in the order of the fields in the spec. If the snapshot
// contains no pods, the checks that compare selectors with pods find nothing, because Run
// cannot determine which pods a selector matches. If it contains no namespaces, the checks that
// compare selectors with namespaces find nothing.
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
