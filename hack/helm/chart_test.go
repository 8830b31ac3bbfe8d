package helm

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/loader"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/kube"
	release "helm.sh/helm/v4/pkg/release/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/sluicenet/sluice/config/objects"
)

const (
	root      = "../.."
	directory = root + "/charts/sluice"
	namespace = "sluice-system"
)

// load returns the chart.
func load(t *testing.T) *chart.Chart {
	t.Helper()
	loaded, err := loader.Load(directory)
	if err != nil {
		t.Fatal(err)
	}
	return loaded.(*chart.Chart)
}

// parse returns the values in a YAML text.
func parse(t *testing.T, text string) map[string]any {
	t.Helper()
	values := map[string]any{}
	if err := sigsyaml.Unmarshal([]byte(text), &values); err != nil {
		t.Fatal(err)
	}
	return values
}

// render renders the chart in a namespace like `helm template --include-crds`.
func render(t *testing.T, namespace, values string) (*release.Release, error) {
	t.Helper()
	install := action.NewInstall(action.NewConfiguration())
	install.DryRunStrategy, install.IncludeCRDs = action.DryRunClient, true
	install.ReleaseName, install.Namespace = "sluice", namespace
	install.WaitStrategy = kube.HookOnlyStrategy
	oldest, err := common.ParseKubeVersion("v1.30.0")
	if err != nil {
		t.Fatal(err)
	}
	install.KubeVersion = oldest
	out, err := install.Run(load(t), parse(t, values))
	if err != nil {
		return nil, err
	}
	return out.(*release.Release), nil
}

// rendered returns the objects of the chart without hooks.
func rendered(t *testing.T, values string) []*unstructured.Unstructured {
	t.Helper()
	return renderedIn(t, namespace, values)
}

func renderedIn(t *testing.T, namespace, values string) []*unstructured.Unstructured {
	t.Helper()
	out, err := render(t, namespace, values)
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, []byte(out.Manifest))
}

func decode(t *testing.T, text []byte) []*unstructured.Unstructured {
	t.Helper()
	out, err := objects.Decode(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return out
}

// encode returns the lines of an object as YAML, without indentation.
func encode(t *testing.T, object *unstructured.Unstructured) []string {
	t.Helper()
	text, err := sigsyaml.Marshal(object.Object)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for line := range strings.Lines(string(text)) {
		out = append(out, strings.TrimSpace(line))
	}
	return out
}

// find returns the object with a kind and a name. The test fails if there is no such object.
func find(t *testing.T, objects []*unstructured.Unstructured, kind, name string) *unstructured.Unstructured {
	t.Helper()
	for _, object := range objects {
		if object.GetKind() == kind && object.GetName() == name {
			return object
		}
	}
	t.Fatalf("the chart contains no %s %s", kind, name)
	return nil
}

// kustomize returns the objects of a base in config/.
func kustomize(t *testing.T, base string) []*unstructured.Unstructured {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", "tool", "-modfile=hack/tools/go.mod", "kustomize", "build", filepath.Join("config", base))
	command.Dir = root
	command.Stderr = os.Stderr
	text, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, text)
}

// files returns the values files in testdata. The keys are the names of the files.
func files(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	out := map[string]string{}
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		out[strings.TrimSuffix(filepath.Base(name), ".yaml")] = string(content)
	}
	return out
}

// TestLint runs `helm lint --strict` with the default values and with each values file.
func TestLint(t *testing.T) {
	all := files(t)
	all["default"] = ""
	for name, values := range all {
		lint := action.NewLint()
		lint.Strict, lint.Namespace = true, namespace
		result := lint.Run([]string{directory}, parse(t, values))
		for _, fault := range result.Errors {
			t.Errorf("%s: %v", name, fault)
		}
		if action.HasWarningsOrErrors(result) {
			t.Errorf("%s: %v", name, result.Messages)
		}
	}
}

// TestPackage runs `helm lint --strict` on the archive that `make chart` writes, and checks the image
// in its values.
func TestPackage(t *testing.T) {
	target := t.TempDir()
	command := exec.CommandContext(t.Context(), "go", "run", "./hack/chart", "-package", target, "-image", "registry.example/sluice:v9")
	command.Dir = root
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	archives, err := filepath.Glob(target + "/*.tgz")
	if err != nil || len(archives) != 1 {
		t.Fatal(archives, err)
	}
	lint := action.NewLint()
	lint.Strict = true
	if result := lint.Run(archives, nil); action.HasWarningsOrErrors(result) {
		t.Errorf("%v", result)
	}
	packed, err := loader.Load(archives[0])
	if err != nil {
		t.Fatal(err)
	}
	image := packed.(*chart.Chart).Values["image"].(map[string]any)
	if image["repository"] != "registry.example/sluice" || image["tag"] != "v9" {
		t.Errorf("the image is %v", image)
	}
	if want := "sluice-" + packed.(*chart.Chart).Metadata.Version + ".tgz"; filepath.Base(archives[0]) != want {
		t.Errorf("the archive is %s, want %s", archives[0], want)
	}
}

// TestTemplateHasNoHooks checks that the output of `helm template` contains no hooks. Otherwise,
// `kubectl apply` would run the hook that deletes the Enforcer.
func TestTemplateHasNoHooks(t *testing.T) {
	out, err := render(t, namespace, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, hook := range out.Hooks {
		t.Errorf("hook %s:\n%s", hook.Path, hook.Manifest)
	}
	for _, object := range decode(t, []byte(out.Manifest)) {
		if object.GetKind() == "Job" {
			t.Errorf("the manifest contains the Job %s", object.GetName())
		}
	}
}
