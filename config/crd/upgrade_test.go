package crd_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/config/crd"
	"github.com/sluicenet/sluice/config/objects"
	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/kube"
	"github.com/sluicenet/sluice/test/previous"
)

var server *kube.Server

// strict rejects requests with unknown fields.
const strict = client.FieldValidation("Strict")

func TestMain(m *testing.M) { os.Exit(kube.Main(m, &server, kube.WithoutDefinitions)) }

// TestUpgrade replaces the CustomResourceDefinitions of the previous version with the current ones. An
// object of each kind exists, with a value in every field. The test checks that no value is lost, and
// that the current types can update each object and write its status.
func TestUpgrade(t *testing.T) {
	c := server.Client(t)
	version, err := previous.Find("../..")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the previous version is %s", version)
	source := t.TempDir()
	if err := version.Extract(source, "config/crd/bases", "config/samples"); err != nil {
		t.Fatal(err)
	}
	sample := decodeFile(t, filepath.Join(source, "config/samples/enforcer_explained.yaml"))[0]
	files, err := filepath.Glob(filepath.Join(source, "config/crd/bases/*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("definitions of %s: %v, %v", version, files, err)
	}
	var stored []*unstructured.Unstructured
	for _, file := range files {
		definition := applyDefinition(t, c, decodeFile(t, file)[0])
		for _, v := range definition.Spec.Versions {
			if v.Served {
				stored = append(stored, storeExample(t, c, definition, v, sample))
			}
		}
	}
	definitions, err := crd.Definitions()
	if err != nil {
		t.Fatal(err)
	}
	current := map[string]*apiextensionsv1.CustomResourceDefinition{}
	for _, definition := range definitions {
		applied := applyDefinition(t, c, definition)
		current[applied.Spec.Names.Kind] = applied
	}
	for _, before := range stored {
		t.Run(before.GetKind()+" "+before.GroupVersionKind().Version, func(t *testing.T) {
			checkUpgraded(t, c, before, current[before.GetKind()])
		})
	}
}

func decodeFile(t *testing.T, path string) []*unstructured.Unstructured {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := objects.Decode(text)
	if err != nil || len(decoded) == 0 {
		t.Fatalf("%s contains %d objects: %v", path, len(decoded), err)
	}
	return decoded
}

// applyDefinition applies a definition, and waits until the API server serves it.
func applyDefinition(t *testing.T, c client.Client, object *unstructured.Unstructured) *apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	if err := c.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(object), client.FieldOwner("kubectl")); err != nil {
		t.Fatal(err)
	}
	definition := &apiextensionsv1.CustomResourceDefinition{}
	eventually.NoError(t, func() error {
		content := &unstructured.Unstructured{}
		content.SetGroupVersionKind(object.GroupVersionKind())
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(object), content); err != nil {
			return err
		}
		*definition = apiextensionsv1.CustomResourceDefinition{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(content.Object, definition); err != nil {
			return err
		}
		for _, condition := range definition.Status.Conditions {
			if condition.Type == apiextensionsv1.Established && condition.Status == apiextensionsv1.ConditionTrue {
				return nil
			}
		}
		return fmt.Errorf("%s is not established: %v", object.GetName(), definition.Status.Conditions)
	})
	return definition
}

// storeExample stores an object with a value in every field, and returns it. The spec is that of the
// sample, and the status contains a value for each field of the schema.
func storeExample(t *testing.T, c client.Client, definition *apiextensionsv1.CustomResourceDefinition, v apiextensionsv1.CustomResourceDefinitionVersion, sample *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	object := &unstructured.Unstructured{}
	if sample.GetKind() == definition.Spec.Names.Kind {
		object = sample.DeepCopy()
		spec := object.Object["spec"].(map[string]any)
		// The values of the sample are the defaults, which leave these fields empty.
		spec["tolerations"] = []any{map[string]any{"key": "a", "operator": "Equal", "value": "b", "effect": "NoSchedule"}}
		spec["podRanges"] = []any{"10.0.0.0/8"}
	}
	object.SetGroupVersionKind(schema.GroupVersionKind{Group: definition.Spec.Group, Version: v.Name, Kind: definition.Spec.Names.Kind})
	if object.GetName() == "" {
		object.SetName("example")
	}
	if definition.Spec.Scope == apiextensionsv1.NamespaceScoped {
		object.SetNamespace("default")
	}
	root := v.Schema.OpenAPIV3Schema
	// A new definition is served only some time after it was established.
	eventually.NoError(t, func() error { return c.Create(t.Context(), object.DeepCopy(), strict) })
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
		t.Fatal(err)
	}
	status := example(t, "status", root.Properties["status"])
	object.Object["status"] = status
	if err := c.Status().Update(t.Context(), object, strict); err != nil {
		t.Fatal(err)
	}
	for part, property := range root.Properties {
		if part == "spec" || part == "status" {
			if empty := withoutValue(part, property, object.Object[part]); len(empty) > 0 {
				t.Errorf("these fields of the example have no value: %s", strings.Join(empty, ", "))
			}
		}
	}
	return object
}

// checkUpgraded checks an object that was stored before the definitions were replaced.
func checkUpgraded(t *testing.T, c client.Client, before *unstructured.Unstructured, definition *apiextensionsv1.CustomResourceDefinition) {
	if definition == nil {
		t.Fatal("the kind is not defined any more")
	}
	wantKept(t, c, before)

	// The operator and the agents read and write the newest version.
	newest := definition.Spec.Versions[slices.IndexFunc(definition.Spec.Versions, func(v apiextensionsv1.CustomResourceDefinitionVersion) bool { return v.Storage })]
	kind := before.GroupVersionKind().GroupKind().WithVersion(newest.Name)
	// The API server uses a changed schema only some time after the change.
	var updated map[string]any
	eventually.NoError(t, func() error {
		typed := read(t, c, kind, before, nil)
		typed.SetLabels(map[string]string{"upgraded": "true"})
		updated = content(t, typed)
		return c.Update(t.Context(), typed, strict)
	})
	// The Go types may write a value in another way, such as 1m0s instead of 60s.
	wantKept(t, c, &unstructured.Unstructured{Object: updated})

	status := example(t, "status", newest.Schema.OpenAPIV3Schema.Properties["status"])
	eventually.NoError(t, func() error {
		typed := read(t, c, kind, before, status)
		if err := c.Status().Update(t.Context(), typed, strict); err != nil {
			return err
		}
		if fields := lost("status", status, content(t, typed)["status"]); len(fields) > 0 {
			return fmt.Errorf("the API server did not store these fields: %s", strings.Join(fields, ", "))
		}
		return nil
	})
}

// wantKept fails the test unless an object still has each value of its spec and its status.
func wantKept(t *testing.T, c client.Client, before *unstructured.Unstructured) {
	t.Helper()
	now := &unstructured.Unstructured{}
	now.SetGroupVersionKind(before.GroupVersionKind())
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(before), now); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"spec", "status"} {
		if fields := lost(part, before.Object[part], now.Object[part]); len(fields) > 0 {
			t.Errorf("lost or changed: %s", strings.Join(fields, ", "))
		}
	}
}

// read reads an object as the Go type of a kind. Each field must exist in the Go type. If a status is
// given, read replaces the status of the returned object with it.
func read(t *testing.T, c client.Client, kind schema.GroupVersionKind, object client.Object, status any) client.Object {
	t.Helper()
	now := &unstructured.Unstructured{}
	now.SetGroupVersionKind(kind)
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(object), now); err != nil {
		t.Fatal(err)
	}
	if status != nil {
		now.Object["status"] = status
	}
	typed, err := kube.Scheme().New(kind)
	if err != nil {
		t.Fatal(err)
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(now.Object, typed, true); err != nil {
		t.Fatal(err)
	}
	return typed.(client.Object)
}

// content returns the fields of an object.
func content(t *testing.T, object client.Object) map[string]any {
	t.Helper()
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		t.Fatal(err)
	}
	return fields
}
