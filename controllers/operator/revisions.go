package operator

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// revisions remember the resource version at which an object last changed in
// what is enforced. Pods and policies change more often otherwise: a probe, an
// annotation. No node has to prove that it has seen such a change.
type revisions struct {
	mu sync.Mutex
	// older has objects of which the newest resource version says nothing new.
	older map[types.NamespacedName]revision
}

type revision struct {
	uid        types.UID
	generation int64
	version    string
}

func newRevisions() *revisions {
	return &revisions{older: map[types.NamespacedName]revision{}}
}

// of gives the resource version that a node must contain to enforce an object
// as it is.
func (r *revisions) of(object client.Object) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.locked(object)
}

func (r *revisions) locked(object client.Object) string {
	known, ok := r.older[client.ObjectKeyFromObject(object)]
	if !ok || known.uid != object.GetUID() || known.generation != object.GetGeneration() {
		return object.GetResourceVersion()
	}
	return known.version
}

// keep says that an object means the same as before.
func (r *revisions) keep(before, after client.Object) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.older[client.ObjectKeyFromObject(after)] = revision{uid: after.GetUID(), generation: after.GetGeneration(), version: r.locked(before)}
}

// forget says that an object means something else than before, or is gone.
func (r *revisions) forget(object client.Object) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.older, client.ObjectKeyFromObject(object))
}

// versions are the newest resource versions of two kinds. Empty is older than
// all.
type versions struct{ policies, pods string }

// contain reports whether both kinds are as new as wanted.
func (v versions) contain(want versions) bool {
	return notOlder(v.policies, want.policies) && notOlder(v.pods, want.pods)
}

// newest gives the newer of both for each kind.
func (v versions) newest(other versions) versions {
	return versions{policies: newer(v.policies, other.policies), pods: newer(v.pods, other.pods)}
}

func newer(a, b string) string {
	if notOlder(a, b) {
		return a
	}
	return b
}

// notOlder reports whether a is at least as new as b. What is no resource
// version is older than all that are.
func notOlder(a, b string) bool {
	order, err := resourceversion.CompareResourceVersion(a, b)
	if err != nil {
		_, err := resourceversion.CompareResourceVersion(b, b)
		return err != nil
	}
	return order >= 0
}
