package operator

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// fieldOwner is by whom fields are managed that the operator applies.
const fieldOwner = "sluice-operator"

// applier applies objects and remembers what came of it, so that an object that
// stays as it was asks nothing of the API server.
type applier struct {
	client client.Client
	// reader has the objects as they are now: a cache, where one follows them.
	reader client.Reader
	done   map[objectKey]applied
}

type objectKey struct {
	kind schema.GroupKind
	client.ObjectKey
}

// applied is what was asked for, and what the API server made of it.
type applied struct{ wanted, live [sha256.Size]byte }

func newApplier(c client.Client, reader client.Reader) *applier {
	return &applier{client: c, reader: reader, done: map[objectKey]applied{}}
}

func keyOf(object *unstructured.Unstructured) objectKey {
	return objectKey{object.GroupVersionKind().GroupKind(), client.ObjectKeyFromObject(object)}
}

// apply makes an object be as wanted, and gives it as it then is. Fields of
// others stay.
func (a *applier) apply(ctx context.Context, wanted *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	key := keyOf(wanted)
	sum, err := fingerprint(wanted)
	if err != nil {
		return nil, err
	}
	live, err := a.live(ctx, wanted)
	if err != nil {
		return nil, err
	}
	if live != nil {
		if now, err := fingerprint(live); err == nil && a.done[key] == (applied{sum, now}) {
			return live, nil
		}
	}
	out := wanted.DeepCopy()
	err = a.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(out), client.FieldOwner(fieldOwner), client.ForceOwnership)
	if err != nil {
		delete(a.done, key)
		return nil, fmt.Errorf("applying %s %s: %w", wanted.GetKind(), nameOf(wanted), err)
	}
	now, err := fingerprint(out)
	if err != nil {
		return nil, err
	}
	a.done[key] = applied{sum, now}
	return out, nil
}

// live gives an object as it is now, nil if there is none.
func (a *applier) live(ctx context.Context, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
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

// remove deletes an object, if there is one.
func (a *applier) remove(ctx context.Context, object *unstructured.Unstructured) error {
	delete(a.done, keyOf(object))
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

// fingerprint sums up what people and programs say about an object, and leaves
// out what is only a consequence.
func fingerprint(object *unstructured.Unstructured) ([sha256.Size]byte, error) {
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
