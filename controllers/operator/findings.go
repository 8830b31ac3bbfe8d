package operator

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

	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/lint"
)

const (
	// lintInterval is the shortest time from a change to the next look at all
	// policies.
	lintInterval = time.Second
	// lintShare bounds the share of one core: a look is followed by a pause this
	// many times as long.
	lintShare = 20
)

// findings has what lint finds. Whether a policy does what it seems to depends
// on pods and namespaces all over the cluster, so all policies are looked at
// together, some time after changes.
type findings struct {
	reader client.Reader
	log    logr.Logger
	// changed has an element when something changed since the last look.
	changed chan struct{}

	mu    sync.Mutex
	known bool
	found map[types.NamespacedName][]lint.Finding
}

func newFindings(reader client.Reader, log logr.Logger) *findings {
	return &findings{reader: reader, log: log, changed: make(chan struct{}, 1)}
}

// touch says that something changed.
func (f *findings) touch() {
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

// of gives what the last look found. It is not known before the first one.
func (f *findings) of(name types.NamespacedName) (found []lint.Finding, known bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.found[name], f.known
}

// run looks until the context ends, and tells of the policies of which the
// findings changed; all is what to tell of after the first look.
func (f *findings) run(ctx context.Context, all func() []types.NamespacedName, tell func([]types.NamespacedName)) {
	for {
		began := time.Now()
		before := f.known
		different, err := f.look(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			f.log.Error(err, "Policies could not be looked at")
			f.touch()
		case !before:
			tell(all())
		default:
			tell(different)
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
		case <-f.changed:
		}
	}
}

// look looks at all policies and gives those of which the findings changed.
func (f *findings) look(ctx context.Context) ([]types.NamespacedName, error) {
	snapshot, err := f.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	found := map[types.NamespacedName][]lint.Finding{}
	for _, finding := range lint.Check(snapshot) {
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

// snapshot reads the cluster from the caches.
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
		s.UpsertNamespace(policy.NamespaceOf(&namespaces.Items[i]))
	}
	for i := range pods.Items {
		// What cannot be read, each node's agent reports.
		pod, _ := policy.PodOf(&pods.Items[i])
		s.UpsertPod(&pod)
	}
	for i := range policies.Items {
		s.UpsertPolicy(&policies.Items[i])
	}
	return s, nil
}
