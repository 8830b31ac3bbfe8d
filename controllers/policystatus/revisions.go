package policystatus

import (
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
)

// revisions records, for pods and policies, the resource version of the last change that
// matters for enforcement. Nodes have to acknowledge only such changes. Most changes do not
// matter, for example a change of an annotation or of a probe's result. revisions is safe
// for concurrent use.
type revisions struct {
	mu sync.Mutex
	// older contains each object that was changed after its last change that matters. It maps
	// the object to the version of the last change that matters.
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

// The method `of` returns a resource version. If the tree of a node was compiled from this
// resource version of the object or a newer one, the node enforces the current version.
func (r *revisions) of(object metav1.Object) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.locked(object)
}

func (r *revisions) locked(object metav1.Object) string {
	known, ok := r.older[nameOf(object)]
	if !ok || known.uid != object.GetUID() || known.generation != object.GetGeneration() {
		return object.GetResourceVersion()
	}
	return known.version
}

// keep records that the latest change of an object does not matter for enforcement. The
// parameters before and after are the object before and after this change.
func (r *revisions) keep(before, after metav1.Object) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.older[nameOf(after)] = revision{uid: after.GetUID(), generation: after.GetGeneration(), version: r.locked(before)}
}

// forget records that the newest change of an object matters, or that the object was
// deleted.
func (r *revisions) forget(object metav1.Object) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.older, nameOf(object))
}

// versions contains the newest resource versions of policies and pods. An empty version is
// older than all other versions.
type versions struct{ policies, pods string }

// contain reports whether each of the two versions in v is at least as new as the same version
// in required.
func (v versions) contain(required versions) bool {
	return notOlder(v.policies, required.policies) && notOlder(v.pods, required.pods)
}

// newest compares v with other. It returns the newer version of policies and the newer version
// of pods.
func (v versions) newest(other versions) versions {
	return versions{policies: newer(v.policies, other.policies), pods: newer(v.pods, other.pods)}
}

func newer(a, b string) string {
	if notOlder(a, b) {
		return a
	}
	return b
}

// notOlder reports whether version a is at least as new as version b. An invalid version is
// treated as older than every valid version.
func notOlder(a, b string) bool {
	order, err := resourceversion.CompareResourceVersion(a, b)
	if err != nil {
		_, err := resourceversion.CompareResourceVersion(b, b)
		return err != nil
	}
	return order >= 0
}
