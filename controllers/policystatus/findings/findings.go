package findings

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/lint"
)

// Source contains the objects that lint reads. The caller must not modify them.
type Source interface {
	// Contents returns the objects of a namespace.
	Contents(namespace string) lint.Namespace
	// All returns the objects of the cluster. If there are no ClusterNetworkPolicies, it may return
	// no objects.
	All() lint.Cluster
}

// clusterScope is the name under which all ClusterNetworkPolicies are checked together, like
// the policies of one namespace.
const clusterScope = ""

// Findings contains the lint findings about all policies. It is safe for concurrent use.
type Findings struct {
	source Source
	log    logr.Logger
	turns  *turns

	mu sync.Mutex
	// found contains the findings about each checked policy, by namespace and name. The namespace
	// of ClusterNetworkPolicies is clusterScope.
	found map[string]map[string][]lint.Finding
}

// New returns an empty Findings.
func New(source Source, log logr.Logger) *Findings {
	return &Findings{source: source, log: log, turns: newTurns(), found: map[string]map[string][]lint.Finding{}}
}

// Changed records that an object of a namespace changed. If the `namespace` parameter is empty,
// Changed records that a ClusterNetworkPolicy changed. Run then checks the policies of the
// namespace and all ClusterNetworkPolicies. Changed must be called for each namespace that
// contains a policy.
func (f *Findings) Changed(namespace string) {
	f.turns.add(namespace)
	if namespace != clusterScope {
		f.turns.add(clusterScope)
	}
}

// Of returns the findings about the policy with the given name, and reports whether a policy of
// this name has been checked.
func (f *Findings) Of(policy types.NamespacedName) (found []lint.Finding, checked bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	found, checked = f.found[policy.Namespace][policy.Name]
	return found, checked
}

// Run checks namespaces that changed, until the context ends. After each check, it calls the
// function `report` with the policies whose findings changed and the policies that were checked for
// the first time.
func (f *Findings) Run(ctx context.Context, report func([]types.NamespacedName)) {
	stop := context.AfterFunc(ctx, f.turns.stop)
	defer stop()
	for {
		namespace, ok := f.turns.next()
		if !ok {
			return
		}
		began := time.Now()
		report(f.check(namespace))
		f.turns.done(ctx, namespace, time.Since(began))
	}
}

// check checks the policies of a namespace, or the ClusterNetworkPolicies. It returns the policies
// whose findings changed.
func (f *Findings) check(namespace string) []types.NamespacedName {
	all, policies, err := f.run(namespace)
	if err != nil {
		// If some checks panicked, only the findings of these checks are missing.
		f.log.Error(err, "A check of a policy failed", "namespace", namespace)
	}
	found := make(map[string][]lint.Finding, len(policies))
	for _, p := range policies {
		found[p.Name] = nil
	}
	for _, finding := range all {
		name := strings.TrimPrefix(finding.Policy, finding.Namespace+"/")
		found[name] = append(found[name], finding)
	}
	return f.replace(namespace, found)
}

// run runs lint. It returns the findings and the policies that lint checked.
func (f *Findings) run(namespace string) ([]lint.Finding, []*policy.Policy, error) {
	if namespace == clusterScope {
		objects := f.source.All()
		all, err := lint.RunTiers(objects)
		return all, objects.Policies, err
	}
	objects := f.source.Contents(namespace)
	all, err := lint.RunNamespace(objects)
	return all, objects.Policies, err
}

// replace replaces the findings about the policies of a namespace. It returns the policies whose
// findings changed, and the policies that had not been checked before.
func (f *Findings) replace(namespace string, found map[string][]lint.Finding) (different []types.NamespacedName) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before := f.found[namespace]
	for name, now := range found {
		if earlier, checked := before[name]; !checked || !slices.Equal(now, earlier) {
			different = append(different, types.NamespacedName{Namespace: namespace, Name: name})
		}
	}
	if f.found[namespace] = found; len(found) == 0 {
		delete(f.found, namespace)
	}
	return different
}
