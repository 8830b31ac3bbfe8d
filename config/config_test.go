// Package config_test applies the manifests to a real API server, as an administrator would do.
package config_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/config/objects"
	"github.com/sluicenet/sluice/test/kube"
	"github.com/sluicenet/sluice/test/policyapi"
)

var server *kube.Server

func TestMain(m *testing.M) { os.Exit(kube.Main(m, &server)) }

// warnings collects the warnings of the API server.
type warnings struct {
	mutex sync.Mutex
	texts []string
}

func (w *warnings) HandleWarningHeader(_ int, _, text string) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.texts = append(w.texts, text)
}

// output runs a program in the root directory of the project and returns its output.
func output(t *testing.T, program string, arguments ...string) []byte {
	t.Helper()
	command := exec.CommandContext(t.Context(), program, arguments...)
	command.Dir = ".."
	var fault bytes.Buffer
	command.Stderr = &fault
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(arguments, " "), err, fault.String())
	}
	return out
}

// build returns the output of kustomize for a base.
func build(t *testing.T, base string) []byte {
	t.Helper()
	return output(t, "go", "tool", "-modfile=hack/tools/go.mod", "kustomize", "build", filepath.Join("config", base))
}

func decode(t *testing.T, text []byte) []*unstructured.Unstructured {
	t.Helper()
	out, err := objects.Decode(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return out
}

// apply applies objects like `kubectl apply --server-side --validate=strict`. It returns the
// resulting resource versions of the objects.
func apply(t *testing.T, objects []*unstructured.Unstructured, options ...client.PatchOption) []string {
	t.Helper()
	config := server.Config()
	warned := &warnings{}
	config.WarningHandler = warned
	c := server.ClientFor(t, config)
	var versions []string
	for _, object := range objects {
		text, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		got := object.DeepCopy()
		all := append([]client.PatchOption{client.FieldOwner("kubectl"), client.FieldValidation("Strict")}, options...)
		if err := c.Patch(t.Context(), got, client.RawPatch(types.ApplyPatchType, text), all...); err != nil {
			t.Fatalf("applying %s %s: %v", object.GetKind(), object.GetName(), err)
		}
		versions = append(versions, object.GetKind()+" "+object.GetName()+" "+string(got.GetUID())+" "+got.GetResourceVersion())
	}
	if len(warned.texts) > 0 {
		t.Errorf("the API server warns: %s", strings.Join(warned.texts, "\n"))
	}
	return versions
}

// TestInstall applies config/default twice, and then dist/install.yaml. The API server must accept
// every object without a warning. Only the first of these three steps may change objects.
func TestInstall(t *testing.T) {
	objects := decode(t, build(t, "default"))
	first := apply(t, objects)
	if again := apply(t, objects); !slices.Equal(first, again) {
		t.Errorf("the second call changed objects:\n%s\n%s", strings.Join(first, "\n"), strings.Join(again, "\n"))
	}
	version := strings.TrimSpace(string(output(t, "cat", "VERSION")))
	if file := apply(t, decode(t, output(t, "hack/manifests.sh", "sluice:"+version))); !slices.Equal(first, file) {
		t.Errorf("dist/install.yaml differs from config/default:\n%s\n%s", strings.Join(first, "\n"), strings.Join(file, "\n"))
	}
	policyapi.Install(t, server.Client(t), policyapi.V1beta1)
	samples, err := filepath.Glob("samples/*.yaml")
	if err != nil || len(samples) == 0 {
		t.Fatalf("samples: %v, %v", samples, err)
	}
	for _, name := range samples {
		if filepath.Base(name) == "kustomization.yaml" {
			continue
		}
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		sample := decode(t, content)
		if sample[0].GetKind() == "NetworkPolicy" {
			sample[0].SetNamespace("default")
		}
		apply(t, sample, client.DryRunAll)
	}
}

// TestBasesCanBeBuiltAlone checks that kustomize can build each base separately.
func TestBasesCanBeBuiltAlone(t *testing.T) {
	for base, want := range map[string]int{"crd": 4, "rbac": 12, "manager": 4, "samples": 1, "prometheus": 3, "default": 20, "gke": 21, "openshift": 25} {
		if objects := decode(t, build(t, base)); len(objects) != want {
			t.Errorf("config/%s has %d objects, want %d", base, len(objects), want)
		}
	}
}

// TestObjectsHavePartOfLabel checks the labels of all installed objects.
func TestObjectsHavePartOfLabel(t *testing.T) {
	for _, object := range decode(t, build(t, "default")) {
		if object.GetLabels()["app.kubernetes.io/part-of"] != "sluice" {
			t.Errorf("%s %s has no label app.kubernetes.io/part-of", object.GetKind(), object.GetName())
		}
	}
}

// TestImageOfManifests checks that the operator and the nodes run the image that the user has
// specified.
func TestImageOfManifests(t *testing.T) {
	digest := "@sha256:" + strings.Repeat("0", 64)
	for image, want := range map[string]string{
		"registry.example:5000/net/sluice:v9": "", "registry.example/sluice" + digest: "",
		"registry.example:5000/sluice": "registry.example:5000/sluice:latest",
	} {
		if want == "" {
			want = image
		}
		for _, object := range decode(t, output(t, "hack/manifests.sh", image)) {
			if object.GetKind() != "Deployment" {
				continue
			}
			containers, _, err := unstructured.NestedSlice(object.Object, "spec", "template", "spec", "containers")
			if err != nil {
				t.Fatal(err)
			}
			operator := containers[0].(map[string]any)
			if got := operator["image"]; got != want {
				t.Errorf("with image %s, the operator runs %s", image, got)
			}
			// If SLUICE_IMAGE is not set, nodes run the image of the operator's pod.
			for _, variable := range operator["env"].([]any) {
				if name := variable.(map[string]any)["name"]; name == "SLUICE_IMAGE" {
					t.Errorf("%s is set", name)
				}
			}
		}
	}
}
