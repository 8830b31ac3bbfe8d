package lint

import (
	"cmp"
	"errors"
	"slices"

	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/lint/internal/check"
	"github.com/sluicenet/sluice/policy/lint/internal/peers"
)

// These are the limits for Run and for RunNamespace.
var (
	// A command runs once for one user, who can wait for some seconds.
	commandLimits = check.Limits{Places: 20, Policy: 1_000_000_000, Total: 10_000_000_000}
	// The operator checks the policies of all tenants again and again.
	namespaceLimits = check.Limits{Places: 3, Policy: 50_000_000, Total: 250_000_000}
)

// Run runs all checks on every policy of a snapshot. It sorts the findings by namespace and
// policy. The findings of a policy are in the order of the fields in the spec. If the snapshot
// contains no pods, the checks that compare selectors with pods find nothing, because Run
// cannot determine which pods a selector matches. If it contains no namespaces, the checks that
// compare selectors with namespaces find nothing.
func Run(s *policy.Snapshot) []Finding {
	pods := s.Pods()
	c := check.NewCluster(check.ScopeCluster, commandLimits, len(pods) > 0)
	for _, n := range s.Namespaces() {
		c.Space(n.Name).Object = &n
		c.NamespaceObjects++
	}
	for i := range pods {
		c.AddPod(&pods[i])
	}
	c.AddPolicies(s.Policies())
	findings, _ := c.Run(checks)
	for _, namespace := range peers.WithoutObject(c) {
		findings = append(findings, peers.MissingObject(namespace))
	}
	slices.SortStableFunc(findings, check.CompareFindings)
	return findings
}

// Namespace contains the objects of one namespace. RunNamespace does not change them.
type Namespace struct {
	// Object is the Namespace object, or nil if it does not exist.
	Object *policy.Namespace
	// Pods contains all pods of the namespace, and Policies all policies.
	Pods     []*policy.Pod
	Policies []*policy.Policy
}

// RunNamespace runs the checks on the policies of one namespace. It reports only findings that do
// not depend on objects of other namespaces. A user who can read the policies and pods of the
// namespace therefore learns nothing about other namespaces from the findings. The findings are
// sorted like those of Run.
//
// The time and the memory that RunNamespace needs are bounded, however large the policies are.
// If checks are left out because of these bounds, a finding reports them. If a check panics,
// a finding reports this too, and RunNamespace also returns an error.
func RunNamespace(in Namespace) ([]Finding, error) {
	c := check.NewCluster(check.ScopeNamespace, namespaceLimits, true)
	pods := slices.SortedFunc(slices.Values(in.Pods), func(a, b *policy.Pod) int { return cmp.Compare(a.Name, b.Name) })
	for _, p := range pods {
		c.AddPod(p)
	}
	if in.Object != nil {
		c.Space(in.Object.Name).Object = in.Object
	}
	c.AddPolicies(slices.SortedFunc(slices.Values(in.Policies), func(a, b *policy.Policy) int { return cmp.Compare(a.Name, b.Name) }))
	findings, errs := c.Run(checks)
	return findings, errors.Join(errs...)
}
