package findings

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluicenet/sluice/policy/lint"
)

// Source returns the objects of a namespace. The caller must not modify them.
type Source func(ctx context.Context, namespace string) (lint.Namespace, error)

// Findings contains the lint findings about all policies. It is safe for concurrent use.
type Findings struct {
	source Source
	log    logr.Logger
	turns  *turns

	mu sync.Mutex
	// found contains the findings about each checked policy, by namespace and name.
	found map[string]map[string][]lint.Finding
}

// New returns an empty Findings.
func New(source Source, log logr.Logger) *Findings {
	return &Findings{source: source, log: log, turns: newTurns(), found: map[string]map[string][]lint.Finding{}}
}

// Changed records that an object of a namespace changed. Run then checks the policies of
// the namespace. Changed must be called for each namespace that contains a policy.
func (f *Findings) Changed(namespace string) { f.turns.add(namespace) }

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
		different, err := f.check(ctx, namespace)
		if err != nil && ctx.Err() == nil {
			f.log.Error(err, "Policies could not be checked", "namespace", namespace)
			f.Changed(namespace)
		}
		report(different)
		f.turns.done(ctx, namespace, time.Since(began))
	}
}

// check checks the policies of a namespace and returns the policies whose findings changed.
func (f *Findings) check(ctx context.Context, namespace string) ([]types.NamespacedName, error) {
	objects, err := f.source(ctx, namespace)
	if err != nil {
		return nil, err
	}
	all, err := lint.RunNamespace(objects)
	if err != nil {
		// Only the findings of checks that panicked are missing.
		f.log.Error(err, "A check of a policy failed", "namespace", namespace)
	}
	found := make(map[string][]lint.Finding, len(objects.Policies))
	for _, p := range objects.Policies {
		found[p.Name] = nil
	}
	for _, finding := range all {
		name := finding.Policy[len(finding.Namespace)+1:]
		found[name] = append(found[name], finding)
	}
	return f.replace(namespace, found), nil
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
