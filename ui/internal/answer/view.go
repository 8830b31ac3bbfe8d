package answer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/query"
	"github.com/sluicenet/sluice/query/reach"
	"github.com/sluicenet/sluice/query/status"
	"github.com/sluicenet/sluice/ui/internal/flows"
)

// refreshAfter is the age of a view after which the next request reads the source again.
const refreshAfter = 5 * time.Second

// view contains the objects of one moment, and results that are computed once for them.
type view struct {
	set    *inventory.Set
	digest [sha256.Size]byte
	// The fields `users` and `retired` are guarded by Server.mu. When a retired view has no users,
	// its cluster is closed.
	users   int
	retired bool

	// mu guards the cluster, which is not safe for concurrent use, and the fields below.
	mu      sync.Mutex
	cluster *query.Cluster
	lint    *query.LintReport
	reach   *reach.Map
}

// newView returns a view of a set.
func newView(set *inventory.Set) *view {
	return &view{set: set, digest: digestOf(set), cluster: query.NewCluster(set)}
}

// digestOf returns a digest of the objects that affect answers. Equal sets usually have equal
// digests.
func digestOf(set *inventory.Set) (out [sha256.Size]byte) {
	h := sha256.New()
	for i := range set.Pods {
		fmt.Fprintf(h, "%+v\n", set.Pods[i])
	}
	for i := range set.Policies {
		fmt.Fprintf(h, "%+v %v\n", *set.Policies[i].Policy, set.Policies[i].Origin)
	}
	for _, s := range set.Services {
		fmt.Fprintf(h, "%+v\n", *s)
	}
	for _, s := range set.Slices {
		fmt.Fprintf(h, "%+v\n", *s)
	}
	fmt.Fprintf(h, "%+v %+v %v", set.Namespaces, set.Nodes, set.Notes())
	h.Sum(out[:0])
	return out
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
	err error
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

// load reads the source, and replaces the view if objects have changed.
func (s *Server) load(ctx context.Context) error {
	set, err := s.source.Objects(ctx)
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.read, s.err = time.Now(), err
		return err
	}
	var r reports
	r.Reports, r.err = s.source.Reports(ctx)
	addresses := addressed(set)
	next := newView(set)
	if _, err := next.findings(); err != nil { // The first page needs them.
		return errors.Join(err, next.cluster.Close())
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	s.read, s.err, s.reports = time.Now(), nil, r
	if s.view != nil && s.view.digest == next.digest {
		return next.cluster.Close()
	}
	if s.view != nil {
		s.view.retired = true
		s.view.closeIfUnused()
	}
	s.view, s.addresses = next, addresses
	return nil
}

// Resolve returns the pod with an address in the current view.
func (s *Server) Resolve(a netip.Addr) flows.End {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addresses[a]
}
