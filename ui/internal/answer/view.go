package answer

import (
	"context"
	"errors"
	"net/netip"
	"reflect"
	"sync"
	"time"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/query"
	"github.com/sluicenet/sluice/query/reach"
	"github.com/sluicenet/sluice/query/status"
	"github.com/sluicenet/sluice/ui/internal/flows"
)

// refreshAfter is the age of a view after which the next request reads the source again.
const refreshAfter = 5 * time.Second

// view contains a snapshot of the objects, and results that the server computes once per snapshot.
type view struct {
	set *inventory.Set
	// revision is the number of earlier views of the server.
	revision int
	// The fields `users` and `retired` are guarded by Server.mu. When a retired view has no users,
	// its cluster is closed.
	users   int
	retired bool

	// mu guards the cluster, which is not safe for concurrent use, and the fields below.
	mu      sync.Mutex
	cluster *query.Cluster
	lint    *query.LintReport
	reach   *reach.Map
	// selectedBy contains the workloads that each policy selects, as reach.Selected returns them.
	selectedBy map[string][]string
}

// newView returns a view of a set.
func newView(set *inventory.Set) *view {
	return &view{set: set, cluster: query.NewCluster(set)}
}

// use calls a function with the cluster of the view. Only one call runs at a time.
func (v *view) use(f func(c *query.Cluster) error) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return f(v.cluster)
}

// findings returns the findings of lint.
func (v *view) findings() (*query.LintReport, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.lint == nil {
		var err error
		if v.lint, err = v.cluster.Lint(query.LintOptions{}); err != nil {
			return nil, err
		}
	}
	return v.lint, nil
}

// reachMap returns the map of all workloads.
func (v *view) reachMap() (*reach.Map, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.reach == nil {
		var err error
		if v.reach, err = reach.NewMap(v.set, v.cluster); err != nil {
			return nil, err
		}
	}
	return v.reach, nil
}

// selected returns the Refs of the workloads that a policy selects.
func (v *view) selected(policy string) []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.selectedBy == nil {
		v.selectedBy = reach.Selected(v.set)
	}
	return v.selectedBy[policy]
}

// addressed returns the pods of a set by address.
func addressed(set *inventory.Set) map[netip.Addr]flows.End {
	out := make(map[netip.Addr]flows.End, len(set.Pods))
	for i := range set.Pods {
		p := &set.Pods[i]
		if p.HostNetwork || p.Finished {
			continue
		}
		for _, a := range p.Addresses {
			out[a] = flows.End{Pod: p.String(), Workload: reach.Of(p)}
		}
	}
	return out
}

// reports contains the status objects of one moment.
type reports struct {
	*status.Reports
	// enforcement contains the status of each policy, by the name that policy.Policy.String returns.
	enforcement map[string]*v1alpha1.EnforcementStatus
	err         error
}

// readReports reads the status objects of the source.
func (s *Server) readReports(ctx context.Context) reports {
	all, err := s.source.Reports(ctx)
	if err != nil {
		return reports{err: err}
	}
	r := reports{Reports: all, enforcement: make(map[string]*v1alpha1.EnforcementStatus, len(all.Policies)+len(all.ClusterPolicies))}
	for i := range all.Policies {
		p := &all.Policies[i]
		r.enforcement[p.Namespace+"/"+p.Name] = &p.Status
	}
	for i := range all.ClusterPolicies {
		p := &all.ClusterPolicies[i]
		r.enforcement[p.Name] = &p.Status
	}
	return r
}

// current returns the current view. The caller must call release when it no longer uses the view.
// The first call reads the source. If the view is older than refreshAfter, current starts to read the
// source again, and returns the old view.
func (s *Server) current(ctx context.Context) (*view, error) {
	if v := s.acquire(ctx); v != nil {
		return v, nil
	}
	s.first.Lock()
	defer s.first.Unlock()
	if v := s.acquire(ctx); v != nil {
		return v, nil
	}
	if err := s.load(ctx); err != nil {
		return nil, err
	}
	return s.acquire(ctx), nil
}

// acquire returns the current view, or nil if no view exists yet.
func (s *Server) acquire(ctx context.Context) *view {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.view == nil {
		return nil
	}
	if time.Since(s.read) > refreshAfter && !s.reading {
		s.reading = true
		go s.refresh(context.WithoutCancel(ctx))
	}
	s.view.users++
	return s.view
}

func (s *Server) release(v *view) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v.users--
	v.closeIfUnused()
}

// closeIfUnused closes the cluster of a retired view that has no users. The caller must hold
// Server.mu.
func (v *view) closeIfUnused() {
	if v.retired && v.users == 0 {
		_ = v.cluster.Close() // The trees are read-only files that were deleted before.
	}
}

// readTime is the maximum duration of reading all objects in the background.
const readTime = time.Minute

// refresh reads the source in the background.
func (s *Server) refresh(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	_ = s.load(ctx) // The overview shows the error.
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reading = false
}

// load reads the source. If objects have changed, it replaces the view. Only one call runs at a time.
func (s *Server) load(ctx context.Context) error {
	next, r, err := s.readView(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.read, s.err = time.Now(), err
	if err != nil {
		return err
	}
	s.reports = r
	if next == nil {
		return nil
	}
	if s.view != nil {
		next.revision = s.view.revision + 1
		s.view.retired = true
		s.view.closeIfUnused()
	}
	s.view, s.addresses = next, addressed(next.set)
	return nil
}

// readView reads the source. If the objects are equal to those of the current view, it returns no
// view.
func (s *Server) readView(ctx context.Context) (*view, reports, error) {
	set, err := s.source.Objects(ctx)
	if err != nil {
		return nil, reports{}, err
	}
	r := s.readReports(ctx)
	s.mu.Lock()
	current := s.view
	s.mu.Unlock()
	if current != nil && reflect.DeepEqual(current.set, set) {
		return nil, r, nil
	}
	next := newView(set)
	if _, err := next.findings(); err != nil { // The first page needs the findings.
		return nil, reports{}, errors.Join(err, next.cluster.Close())
	}
	return next, r, nil
}

// resolve returns the pod that has the given address in the current view.
func (s *Server) resolve(a netip.Addr) flows.End {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addresses[a]
}
