// Package policyapi installs the CustomResourceDefinition of ClusterNetworkPolicies on the API server
// of a test. It takes the definition from the Go module sigs.k8s.io/network-policy-api.
package policyapi

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/sluicenet/sluice/test/eventually"
)

// `module` is the Go module that contains the definition, and `file` is the path of the definition
// in this module.
const (
	module = "sigs.k8s.io/network-policy-api"
	file   = "config/crd/experimental/policy.networking.k8s.io_clusternetworkpolicies.yaml"
)

// The versions of ClusterNetworkPolicies.
const (
	V1beta1  = "v1beta1"
	V1alpha2 = "v1alpha2"
)

// Definition returns the CustomResourceDefinition with the given versions. The other versions are not
// served. The first version is the storage version.
func Definition(t testing.TB, served ...string) *unstructured.Unstructured {
	t.Helper()
	directory, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		t.Fatalf("finding the module %s: %v", module, err)
	}
	content, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(directory)), file))
	if err != nil {
		t.Fatal(err)
	}
	out := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(content, &out.Object); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	versions, _, _ := unstructured.NestedSlice(out.Object, "spec", "versions")
	for _, v := range versions {
		v := v.(map[string]any)
		v["served"], v["storage"] = slices.Contains(served, v["name"].(string)), v["name"] == served[0]
	}
	if err := unstructured.SetNestedSlice(out.Object, versions, "spec", "versions"); err != nil {
		t.Fatal(err)
	}
	return out
}

// Install creates the CustomResourceDefinition, or changes which versions are served. It waits until
// the API server serves all given versions. At the end of the test, the definition is deleted.
func Install(t testing.TB, c client.Client, served ...string) {
	t.Helper()
	definition := Definition(t, served...)
	found := definition.DeepCopy()
	err := c.Get(t.Context(), client.ObjectKeyFromObject(definition), found)
	switch {
	case apierrors.IsNotFound(err):
		err = c.Create(t.Context(), definition)
		t.Cleanup(func() { Remove(t, c) })
	case err == nil:
		definition.SetResourceVersion(found.GetResourceVersion())
		err = c.Update(t.Context(), definition)
	}
	if err != nil {
		t.Fatalf("installing %s: %v", definition.GetName(), err)
	}
	for _, version := range served {
		eventually.NoError(t, func() error {
			_, err := list(t.Context(), c, version)
			return err
		})
	}
}

// List returns all ClusterNetworkPolicies. It returns nil if the API server does not serve them.
func List(t testing.TB, c client.Client) []unstructured.Unstructured {
	t.Helper()
	for _, version := range []string{V1beta1, V1alpha2} {
		if found, err := list(t.Context(), c, version); err == nil {
			return found
		}
	}
	return nil
}

// Remove deletes the CustomResourceDefinition with all policies, and waits until the API server does
// not serve it any longer.
func Remove(t testing.TB, c client.Client) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	definition := Definition(t, V1beta1)
	if err := client.IgnoreNotFound(c.Delete(ctx, definition)); err != nil {
		t.Fatalf("deleting %s: %v", definition.GetName(), err)
	}
	eventually.NoError(t, func() error {
		if err := c.Get(ctx, client.ObjectKeyFromObject(definition), definition); !apierrors.IsNotFound(err) {
			return errors.Join(errors.New("the definition still exists"), err)
		}
		for _, version := range []string{V1beta1, V1alpha2} {
			if _, err := list(ctx, c, version); err == nil {
				return errors.New(version + " is still served")
			}
		}
		return nil
	})
}

func list(ctx context.Context, c client.Client, version string) ([]unstructured.Unstructured, error) {
	var out unstructured.UnstructuredList
	out.SetGroupVersionKind(kindOf(version, "List"))
	err := c.List(ctx, &out)
	return out.Items, err
}

func kindOf(version, suffix string) schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: "policy.networking.k8s.io", Version: version, Kind: "ClusterNetworkPolicy" + suffix}
}

// Policy returns a ClusterNetworkPolicy of a version, with a spec that is given as YAML.
func Policy(t testing.TB, version, name, spec string) *unstructured.Unstructured {
	t.Helper()
	out := &unstructured.Unstructured{Object: map[string]any{}}
	SetSpec(t, out, spec)
	out.SetGroupVersionKind(kindOf(version, ""))
	out.SetName(name)
	return out
}

// SetSpec replaces the spec of a policy with a spec that is given as YAML.
func SetSpec(t testing.TB, p *unstructured.Unstructured, spec string) {
	t.Helper()
	var value map[string]any
	data, err := yaml.YAMLToJSON([]byte(spec))
	if err == nil {
		var u unstructured.Unstructured
		err = u.UnmarshalJSON([]byte(`{"apiVersion":"v1","kind":"Spec","spec":` + string(data) + `}`))
		value, _ = u.Object["spec"].(map[string]any)
	}
	if err != nil {
		t.Fatalf("spec %s: %v", spec, err)
	}
	p.Object["spec"] = value
}
