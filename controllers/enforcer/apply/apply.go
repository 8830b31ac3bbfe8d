// Package apply applies objects with server-side apply, and skips requests that would change
// nothing. If another client changes an object again after each repair, the time between two
// repairs grows exponentially.
package apply

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Applier applies objects with server-side apply. It stores a fingerprint of each result, so
// that applying an unchanged object again causes no request.
type Applier struct {
	client client.Client
	// owner is the name of the field manager.
	owner string
	// reader reads the current state of objects, from a cache if a cache watches them.
	reader   client.Reader
	results  map[objectKey]result
	contests map[objectKey]*contest
	now      func() time.Time
}

type objectKey struct {
	kind schema.GroupKind
	client.ObjectKey
}

// path returns the namespace and the name of the object, or only the name if the object has no
// namespace.
func (k objectKey) path() string {
	if k.Namespace == "" {
		return k.Name
	}
	return k.ObjectKey.String()
}

// result contains the fingerprints of two objects. wanted is the fingerprint of the object that
// was applied. live is the fingerprint of the object that the API server returned.
type result struct{ wanted, live [sha256.Size]byte }

// New returns an Applier that writes with a client, under the name of a field manager, and reads
// the current state of objects with a reader.
func New(c client.Client, reader client.Reader, owner string) *Applier {
	return &Applier{
		client: c, owner: owner, reader: reader,
		results: map[objectKey]result{}, contests: map[objectKey]*contest{}, now: time.Now,
	}
}

func keyOf(object *unstructured.Unstructured) objectKey {
	return objectKey{object.GroupVersionKind().GroupKind(), client.ObjectKeyFromObject(object)}
}

// Apply sets the fields of an object to the values in `wanted`, and returns the resulting object.
// It does not change any other field. If another client changes the object repeatedly, Apply delays
// the next repair and returns the unrepaired object; see Conflicts and Wait. If another client
// deletes the object repeatedly, Apply returns an error during the delay.
func (a *Applier) Apply(ctx context.Context, wanted *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	key := keyOf(wanted)
	sum, err := Fingerprint(wanted)
	if err != nil {
		return nil, err
	}
	live, err := a.Live(ctx, wanted)
	if err != nil {
		return nil, err
	}
	last, applied := a.results[key]
	if live != nil {
		if now, err := Fingerprint(live); err == nil && last == (result{sum, now}) {
			return live, nil
		}
	}
	var repair *contest
	if applied && last.wanted == sum {
		if repair = a.contestOf(key); repair.active(a.now()) && repair.wait(a.now()) > 0 {
			return live, postponed(wanted, live)
		}
	} else {
		delete(a.contests, key)
	}
	out, err := a.send(ctx, wanted, repair)
	if err != nil {
		delete(a.results, key)
		return nil, fmt.Errorf("applying %s %s: %w", wanted.GetKind(), nameOf(wanted), err)
	}
	now, err := Fingerprint(out)
	if err != nil {
		return nil, err
	}
	a.results[key] = result{sum, now}
	return out, nil
}

func (a *Applier) contestOf(key objectKey) *contest {
	if a.contests[key] == nil {
		a.contests[key] = &contest{}
	}
	return a.contests[key]
}

// postponed returns an error if an object is missing and its creation is delayed. It returns nil if
// the object exists.
func postponed(wanted, live *unstructured.Unstructured) error {
	if live != nil {
		return nil
	}
	return fmt.Errorf("creating %s %s: another client deletes it repeatedly", wanted.GetKind(), nameOf(wanted))
}

// send applies an object with force. If the request is a repair, send counts it. If the repairs of
// the object are delayed, send first makes a request without force. If another field manager owns
// one of the fields, this request fails, and the error contains the name of the manager. In this
// case, send stores the name, and then makes the request with force.
func (a *Applier) send(ctx context.Context, wanted *unstructured.Unstructured, repair *contest) (*unstructured.Unstructured, error) {
	out := wanted.DeepCopy()
	if repair != nil {
		repair.repair(a.now())
		if repair.delay() > 0 {
			err := a.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(out), client.FieldOwner(a.owner))
			if !apierrors.IsConflict(err) {
				return out, err
			}
			repair.manager = cmp.Or(describeManager(err), repair.manager)
			out = wanted.DeepCopy()
		}
	}
	return out, a.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(out), client.FieldOwner(a.owner), client.ForceOwnership)
}

// Live returns the current state of an object, or nil if the object does not exist.
func (a *Applier) Live(ctx context.Context, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(object.GroupVersionKind())
	err := a.reader.Get(ctx, client.ObjectKeyFromObject(object), live)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading %s %s: %w", object.GetKind(), nameOf(object), err)
	}
	return live, nil
}

// Remove deletes an object. It does nothing if the object does not exist.
func (a *Applier) Remove(ctx context.Context, object *unstructured.Unstructured) error {
	delete(a.results, keyOf(object))
	delete(a.contests, keyOf(object))
	err := a.client.Delete(ctx, object.DeepCopy())
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("deleting %s %s: %w", object.GetKind(), nameOf(object), err)
	}
	return nil
}

func nameOf(object client.Object) string {
	if object.GetNamespace() == "" {
		return object.GetName()
	}
	return object.GetNamespace() + "/" + object.GetName()
}

// Fingerprint returns a hash of an object without its status and without the
// metadata that the API server maintains.
func Fingerprint(object *unstructured.Unstructured) ([sha256.Size]byte, error) {
	content := maps.Clone(object.Object)
	delete(content, "status")
	if metadata, ok := content["metadata"].(map[string]any); ok {
		metadata = maps.Clone(metadata)
		for _, field := range []string{"managedFields", "resourceVersion", "generation"} {
			delete(metadata, field)
		}
		content["metadata"] = metadata
	}
	text, err := json.Marshal(content)
	if err != nil {
		return [sha256.Size]byte{}, fmt.Errorf("reading %s %s: %w", object.GetKind(), nameOf(object), err)
	}
	return sha256.Sum256(text), nil
}
