package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/operator-framework/api/crds"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// TestObjectsOfTheBundle checks that OLM can pull, unpack and install the bundle, and which objects
// it creates.
func TestObjectsOfTheBundle(t *testing.T) {
	unpacked := t.TempDir()
	if err := unpack(t.Context(), archiveOf(t, directory), unpacked); err != nil {
		t.Fatal(err)
	}
	objects, err := installed(unpacked, "operators")
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	var deployment *unstructured.Unstructured
	for _, object := range objects {
		count[object.GetKind()]++
		if object.GetKind() == "Deployment" {
			deployment = object
		}
	}
	want := map[string]int{
		"CustomResourceDefinition": 4, "ServiceAccount": 2, "Role": 1, "RoleBinding": 1,
		"ClusterRole": 6, "ClusterRoleBinding": 2, "Service": 2, "Deployment": 1,
	}
	if diff := cmp.Diff(want, count); diff != "" {
		t.Errorf("-want +created:\n%s", diff)
	}
	containers, _, err := unstructured.NestedSlice(deployment.Object, "spec", "template", "spec", "containers")
	if err != nil {
		t.Fatal(err)
	}
	found := slices.ContainsFunc(containers[0].(map[string]any)["env"].([]any), func(variable any) bool {
		v := variable.(map[string]any)
		return v["name"] == "OPERATOR_CONDITION_NAME" && strings.HasPrefix(fmt.Sprint(v["value"]), "sluice.v")
	})
	if !found || deployment.GetNamespace() != "operators" {
		t.Errorf("the operator in namespace %s does not get the name of its OperatorCondition", deployment.GetNamespace())
	}
}

// TestInvalidBundleIsNotInstalled checks that the faults of a bundle are returned.
func TestInvalidBundleIsNotInstalled(t *testing.T) {
	bundle := bundleOf(t, "0.1.0")
	if err := os.Remove(bundle + "/manifests/enforcers.policy.sluice.dev.crd.yaml"); err != nil {
		t.Fatal(err)
	}
	if _, err := installed(bundle, "operators"); err == nil {
		t.Error("no error for a bundle without a CRD")
	}
}

// TestDefinitionOfOperatorCondition checks that the tests of controllers/upgradeable use the CRD of
// operator-framework.
func TestDefinitionOfOperatorCondition(t *testing.T) {
	text, err := os.ReadFile("../../controllers/upgradeable/testdata/operatorconditions.yaml")
	if err != nil {
		t.Fatal(err)
	}
	used := crds.OperatorCondition()
	if err := yaml.UnmarshalStrict(text, used); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(crds.OperatorCondition(), used); diff != "" {
		t.Errorf("-operator-framework +testdata:\n%s", diff)
	}
}

// archiveOf returns an OCI archive of an image with the files in a directory.
func archiveOf(t *testing.T, directory string) string {
	t.Helper()
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		var content bytes.Buffer
		err := writeTar(&content, directory)
		return io.NopCloser(&content), err
	})
	if err != nil {
		t.Fatal(err)
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	path, err := layout.Write(folder, empty.Index)
	if err == nil {
		err = path.AppendImage(image)
	}
	if err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	if err := writeTar(&archive, folder); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "bundle.tar")
	if err := os.WriteFile(file, archive.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func writeTar(out io.Writer, directory string) error {
	writer := tar.NewWriter(out)
	if err := writer.AddFS(os.DirFS(directory)); err != nil {
		return err
	}
	return writer.Close()
}
