package check

import (
	"cmp"
	"slices"
	"strings"
)

// Severity states how likely a finding is a mistake.
type Severity string

// These are the severities. The most severe one comes first.
const (
	// Error marks a part of a policy that cannot be understood and therefore allows
	// nothing.
	Error Severity = "error"
	// Warning marks a part that almost certainly does not do what the author meant.
	Warning Severity = "warning"
	// Note marks a part that the author possibly intended but should check.
	Note Severity = "note"
)

// rank returns 0 for the most severe severity, and 2 for the least severe one.
func (s Severity) rank() int { return slices.Index([]Severity{Error, Warning, Note}, s) }

// Finding is one result of a check.
type Finding struct {
	Severity Severity `json:"severity"`
	// Check is the name of the check, such as no-pod-selected.
	Check string `json:"check"`
	// Policy has the format "namespace/name". For a ClusterNetworkPolicy, it is the name. If the
	// finding is for a namespace, Policy is empty.
	Policy string `json:"policy,omitempty"`
	// Namespace is the namespace of the policy, or empty for a ClusterNetworkPolicy. If the finding is
	// for a namespace, Namespace is the name of this namespace.
	Namespace string `json:"namespace"`
	// Field is the path of the field in the policy, such as spec.ingress[0].from[1].
	Field string `json:"field,omitempty"`
	// Message is one sentence that describes the finding. It contains no number or list of pods
	// that would change whenever a pod starts or ends.
	Message string `json:"message"`
	// Detail contains the number of pods to which Message refers, and up to three examples. In
	// a result of RunNamespace or RunTiers, it is empty.
	Detail string `json:"detail,omitempty"`
	// Fix states what to write instead. If Message already contains the fix, Fix is empty.
	Fix string `json:"fix,omitempty"`
	// More is the number of omitted findings of the same check and severity in the policy. If
	// findings are omitted, it is set in the last of the remaining findings of this check and
	// severity.
	More int `json:"more,omitempty"`

	// Uncertain is true if the finding is a note instead of a warning because objects of the cluster
	// can be missing in the input.
	Uncertain bool `json:"-"`

	// order is the position of Field in the policy. It determines the order of a policy's
	// findings.
	order position
}

// CompareFindings orders findings by namespace, then by policy, and then by the position of the
// field in the policy.
func CompareFindings(a, b Finding) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Policy, b.Policy), a.order.compare(b.order))
}

// maxText is the length in bytes to which each text of a finding is cut. Without this limit, a
// finding would contain selectors as large as a policy can be.
const maxText = 1024

// shorten cuts the texts of the finding, and copies them so that they do not keep longer texts
// in memory.
func (f *Finding) shorten() {
	for _, text := range []*string{&f.Field, &f.Message, &f.Detail, &f.Fix} {
		if len(*text) > maxText {
			*text = strings.Clone(strings.ToValidUTF8((*text)[:maxText], "")) + "..."
		}
	}
}
