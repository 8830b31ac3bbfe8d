package lint

import (
	"cmp"
	"errors"
	"slices"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/lint/internal/check"
	"github.com/sluicenet/sluice/policy/lint/internal/peers"
	"github.com/sluicenet/sluice/policy/service"
)

// These are the limits for Run, RunNamespace and RunTiers.
var (
	// For Run, which a command calls once. The user can wait for some seconds.
	commandLimits = check.Limits{Places: 20, Policy: 1_000_000_000, Total: 10_000_000_000}
	// For RunNamespace, which the operator calls repeatedly for the policies of all tenants.
	namespaceLimits = check.Limits{Places: 3, Policy: 50_000_000, Total: 250_000_000, Brief: true}
	// For RunTiers. The policies of administrators can select all pods of the cluster.
	tierLimits = check.Limits{Places: 3, Policy: 250_000_000, Total: 1_000_000_000, Brief: true}
)

// Input contains the objects that Run reads.
type Input struct {
	Snapshot *policy.Snapshot
	// Blanks contains, for each policy, the fields that its manifest contains without a value, as
	// read.Blanks returns them. The key is the policy in the format "namespace/name".
	Blanks map[string][]string
	// Services contains the Services, and Endpoints their EndpointSlices. Some checks find nothing
	// without Services.
	Services  []*service.Service
	Endpoints []*service.Slice
	// RunSometimes contains the pods of the snapshot that do not exist, but stand for the pods of a
	// CronJob or Job, as inventory.Set.RunSometimes returns them.
	RunSometimes map[string]string
	// Partial is true if objects of the cluster can be missing in the snapshot. Findings of checks with
	// ByAbsence are then only notes.
	Partial bool
}

// Run runs all checks on every policy of a snapshot. It sorts the findings by namespace and
// policy. The findings of a policy are in the order of the fields in the spec. If the snapshot
// contains no pods, Run cannot determine which pods a selector matches, so the checks that compare
// selectors with pods find nothing. If it contains no namespaces, the checks that compare
// selectors with namespaces find nothing.
func Run(in Input) []Finding {
	s := in.Snapshot
	pods := s.Pods()
	c := check.NewCluster(check.ScopeCluster, commandLimits, len(pods) > 0)
	c.Partial, c.RunSometimes = in.Partial, in.RunSometimes
	for name, fields := range in.Blanks {
		c.SetBlanks(name, fields)
	}
	for _, n := range s.Namespaces() {
		c.Space(n.Name).Object = &n
		c.NamespaceObjects++
	}
	for i := range pods {
		c.AddPod(&pods[i])
	}
	for _, n := range s.Nodes() {
		c.AddNode(&n)
	}
	c.AddServices(in.Services, in.Endpoints)
	c.AddPolicies(s.Policies())
	findings, _ := c.Run(checks, c.Policies)
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
// RunNamespace reads no Services. So it can report a port as undeclared that is the target port of a
// Service, for which Run has no finding.
//
// The time and the memory that RunNamespace needs are bounded, however large the policies are.
// If checks are left out because of these bounds, a finding reports them. If a check panics,
// a finding reports this too, and RunNamespace also returns an error.
func RunNamespace(in Namespace) ([]Finding, error) {
	c := check.NewCluster(check.ScopeNamespace, namespaceLimits, true)
	addNamespace(c, &in)
	findings, errs := c.Run(checks, c.Policies)
	return findings, errors.Join(errs...)
}

// Cluster contains the objects of a cluster. RunTiers does not change them.
type Cluster struct {
	// Namespaces contains the objects of each namespace.
	Namespaces []Namespace
	// Policies contains the ClusterNetworkPolicies.
	Policies []*policy.Policy
}

// RunTiers runs all checks on the ClusterNetworkPolicies of a cluster. As in RunNamespace, the
// number of findings is limited, and findings have no details that change whenever pods start or
// end. The findings can depend on all objects of the cluster, so only administrators may read
// them. The findings are sorted like those of Run.
func RunTiers(in Cluster) ([]Finding, error) {
	c := check.NewCluster(check.ScopeCluster, tierLimits, true)
	for i := range in.Namespaces {
		addNamespace(c, &in.Namespaces[i])
		if in.Namespaces[i].Object != nil {
			c.NamespaceObjects++
		}
	}
	c.AddPolicies(slices.SortedFunc(slices.Values(in.Policies), compareOrder))
	findings, errs := c.Run(checks, slices.Concat(c.Tiers[rule.AdminTier], c.Tiers[rule.BaselineTier]))
	slices.SortStableFunc(findings, check.CompareFindings)
	return findings, errors.Join(errs...)
}

// compareOrder compares ClusterNetworkPolicies by the order of their evaluation.
func compareOrder(a, b *policy.Policy) int {
	return cmp.Or(cmp.Compare(a.Tier, b.Tier), cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.Name, b.Name))
}

// addNamespace adds the objects of a namespace.
func addNamespace(c *check.Cluster, in *Namespace) {
	for _, p := range slices.SortedFunc(slices.Values(in.Pods), func(a, b *policy.Pod) int { return cmp.Compare(a.Name, b.Name) }) {
		c.AddPod(p)
	}
	if in.Object != nil {
		c.Space(in.Object.Name).Object = in.Object
	}
	c.AddPolicies(slices.SortedFunc(slices.Values(in.Policies), func(a, b *policy.Policy) int { return cmp.Compare(a.Name, b.Name) }))
}
