package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func pinned(t *testing.T) []byte {
	t.Helper()
	modules, err := os.ReadFile(filepath.Join("..", "..", moduleFile))
	if err != nil {
		t.Fatal(err)
	}
	return modules
}

// TestModulesHaveOneRelease checks that the modules in the staging directory of
// k8s.io/kubernetes have the version that belongs to the Kubernetes release. For Kubernetes
// v1.37.2, this version is v0.37.2.
func TestModulesHaveOneRelease(t *testing.T) {
	version, err := kubernetesVersion(pinned(t))
	if err != nil {
		t.Fatal(err)
	}
	want := "v0." + strings.TrimPrefix(version, "v1.")
	replaced := regexp.MustCompile(`(?m)^\t(k8s\.io/\S+) => (\S+) (v\S+)$`).FindAllStringSubmatch(string(pinned(t)), -1)
	if len(replaced) < 20 {
		t.Fatalf("%d modules replaced in %s: the replace block cannot be parsed", len(replaced), moduleFile)
	}
	for _, match := range replaced {
		if match[1] != match[2] || match[3] != want {
			t.Errorf("%s is replaced by %s %s, want the same module at %s", match[1], match[2], match[3], want)
		}
	}
}

func TestKubernetesVersion(t *testing.T) {
	tests := map[string]struct {
		modules string
		want    string
		wantErr bool
	}{
		"in a block":  {modules: "require (\n\tk8s.io/api v0.37.2\n\tk8s.io/kubernetes v1.37.2\n)\n", want: "v1.37.2"},
		"candidate":   {modules: "require (\n\tk8s.io/kubernetes v1.38.0-rc.1\n)\n", want: "v1.38.0-rc.1"},
		"not there":   {modules: "require k8s.io/api v0.37.2\n", wantErr: true},
		"tool only":   {modules: "tool k8s.io/kubernetes/cmd/kube-apiserver\n", wantErr: true},
		"wrong major": {modules: "require (\n\tk8s.io/kubernetes v0.37.2\n)\n", wantErr: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := kubernetesVersion([]byte(tt.modules))
			if got != tt.want || (err != nil) != tt.wantErr {
				t.Errorf("got %q and error %v, want %q and error %v", got, err, tt.want, tt.wantErr)
			}
		})
	}
}

func TestLinkerFlags(t *testing.T) {
	const want = "-s -w -X k8s.io/component-base/version.gitVersion=v1.37.2" +
		" -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=37"
	if diff := cmp.Diff(want, linkerFlags("v1.37.2")); diff != "" {
		t.Errorf("flags (-want +got):\n%s", diff)
	}
}

// TestDirectoryNameDependsOnPins checks that different pinned versions result in different
// directory names, and that directoryName does not modify its arguments.
func TestDirectoryNameDependsOnPins(t *testing.T) {
	modules := []byte("k8s.io/kubernetes v1.37.2\n")
	first, second := directoryName("v1.37.2", modules), directoryName("v1.37.2", append(modules, "etcd v4\n"...))
	if first == second {
		t.Errorf("different pins have the same name %s", first)
	}
	if !strings.HasPrefix(first, "v1.37.2-linux-") {
		t.Errorf("%s does not begin with the version and the platform", first)
	}
	if first != directoryName("v1.37.2", modules) {
		t.Error("the same pins have different names")
	}
}

func TestAssetsOverride(t *testing.T) {
	t.Setenv("KUBEBUILDER_ASSETS", "/somewhere/else")
	got, err := assets()
	if err != nil || got != "/somewhere/else" {
		t.Errorf("got %q and error %v, want the value of KUBEBUILDER_ASSETS", got, err)
	}
}

// TestComplete checks that complete returns true only for a directory with all
// programs.
func TestComplete(t *testing.T) {
	directory := t.TempDir()
	for _, p := range programs {
		if complete(directory) {
			t.Errorf("complete without %s", p.name)
		}
		if err := os.WriteFile(filepath.Join(directory, p.name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if !complete(directory) {
		t.Error("not complete with every program")
	}
}
