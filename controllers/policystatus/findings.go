package policystatus

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/internal/trigger"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/lint"
)

const (
	// lintInterval is the minimum time between two runs of lint.
	lintInterval = time.Second
	// lintShare limits lint to 1/lintShare of the time of one processor: after each run, lint
	// pauses for lintShare times the duration of the run.
	lintShare = 20
)

// findings contains the results of lint. Findings about a policy depend on the pods and
// namespaces of the whole cluster. After any change, lint therefore checks all policies
// together.
type findings struct {
	reader client.Reader
	log    logr.Logger
	// changed is a trigger that is set when an object changes. It starts the next run.
	changed trigger.Trigger

	mu    sync.Mutex
	known bool
	found map[types.NamespacedName][]lint.Finding
}

func newFindings(reader client.Reader, log logr.Logger) *findings {
	return &findings{reader: reader, log: log, changed: trigger.New()}
}

// The method `of` returns the findings about the policy with the given name. It also reports
// whether lint has run yet.
func (f *findings) of(name types.NamespacedName) (found []lint.Finding, known bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.found[name], f.known
}

// run runs lint once, and again whenever objects have changed, until the context ends. After
// each run, it passes the policies whose findings changed to the callback `report`. After the
// first run, it passes all policies instead, which it gets from the callback `all`.
func (f *findings) run(ctx context.Context, all func() []types.NamespacedName, report func([]types.NamespacedName)) {
	for {
		began := time.Now()
		first := !f.known
		different, err := f.check(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			f.log.Error(err, "Policies could not be checked")
			f.changed.Set()
		case first:
			report(all())
		default:
			report(different)
		}
		pause := time.NewTimer(max(lintInterval, lintShare*time.Since(began)))
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
		select {
		case <-ctx.Done():
			return
		case <-f.changed.C():
		}
	}
}

// check runs lint once and returns the policies whose findings changed.
func (f *findings) check(ctx context.Context) ([]types.NamespacedName, error) {
	snapshot, err := f.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	found := map[types.NamespacedName][]lint.Finding{}
	for _, finding := range lint.Run(snapshot) {
		if finding.Policy == "" {
			continue
		}
		name := types.NamespacedName{Namespace: finding.Namespace, Name: finding.Policy[len(finding.Namespace)+1:]}
		found[name] = append(found[name], finding)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var different []types.NamespacedName
	for name, now := range found {
		if !slices.Equal(now, f.found[name]) {
			different = append(different, name)
		}
	}
	for name := range f.found {
		if _, ok := found[name]; !ok {
			different = append(different, name)
		}
	}
	f.found, f.known = found, true
	return different, nil
}

// snapshot returns a snapshot of the objects in the caches.
func (f *findings) snapshot(ctx context.Context) (*policy.Snapshot, error) {
	var (
		namespaces corev1.NamespaceList
		pods       corev1.PodList
		policies   networkingv1.NetworkPolicyList
	)
	for _, list := range []client.ObjectList{&namespaces, &pods, &policies} {
		if err := f.reader.List(ctx, list); err != nil {
			return nil, fmt.Errorf("reading the cluster: %w", err)
		}
	}
	s := policy.NewSnapshot()
	for i := range namespaces.Items {
		s.UpsertNamespace(policy.ReadNamespace(&namespaces.Items[i]))
	}
	for i := range pods.Items {
		s.UpsertPod(readPod(&pods.Items[i]))
	}
	for i := range policies.Items {
		s.UpsertPolicy(readPolicy(&policies.Items[i]).policy)
	}
	return s, nil
}
