// Package install_test installs, upgrades and uninstalls the Helm chart on a real API server with
// Helm's own library.
package install_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	helmkube "helm.sh/helm/v4/pkg/kube"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sluicenet/sluice/test/kube"
)

const (
	root         = "../../.."
	fieldManager = "helm"
)

var server *kube.Server

func TestMain(m *testing.M) {
	ctrllog.SetLogger(logr.Discard())
	// Helm uses the name of the program as the field manager. For users, this name is helm.
	helmkube.ManagedFieldsManager = fieldManager
	os.Exit(kube.Main(m, &server, kube.WithoutDefinitions))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// version returns the version of the project.
func version(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(root + "/VERSION")
	must(t, err)
	return strings.TrimSpace(string(content))
}

// program builds the program that the image contains, and returns its path.
func program(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sluice")
	command := exec.CommandContext(t.Context(), "go", "build",
		"-ldflags", "-X github.com/sluicenet/sluice/internal/buildinfo.version="+version(t), "-o", path, "./cmd/sluice")
	command.Dir = root
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}
