package hack_test

import (
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/sluicenet/sluice"

// packetModules lists the modules that can read or change the kernel's packets, connections and
// rules.
var packetModules = []string{
	"github.com/florianl/go-nfqueue",
	"github.com/google/gopacket",
	"github.com/google/nftables",
}

var kubernetesModules = []string{"k8s.io", "sigs.k8s.io"}

// TestTransitiveImports checks which packages each program links, directly or indirectly. The
// linter checks only the direct imports of each package (see .golangci.yml), so a chain of
// allowed imports could link a forbidden package.
func TestTransitiveImports(t *testing.T) {
	for _, c := range []struct {
		reason    string
		packages  []string
		forbidden []string
	}{
		{
			"the agent has no access to packets",
			[]string{"./controllers/node/..."},
			packetModules,
		},
		{
			"clients link no packet code",
			[]string{"./query/...", "./live/...", "./ui/...", "./check/...", "./sysdump/...", "./manifest/...", "./inventory/...", "./policy/..."},
			packetModules,
		},
		{
			"the dataplane links no Kubernetes",
			[]string{"./dataplane/..."},
			kubernetesModules,
		},
		{
			"a shipped program links neither tests nor the demo nor the tools of the project",
			[]string{"./cmd/sluice"},
			[]string{module + "/test", module + "/demo", module + "/cmd/sluice-demo", module + "/hack"},
		},
	} {
		for _, pattern := range c.packages {
			t.Run(pattern, func(t *testing.T) {
				for _, dependency := range dependencies(t, pattern) {
					if slices.ContainsFunc(c.forbidden, func(root string) bool { return within(dependency, root) }) {
						t.Errorf("%s links %s, but %s",
							pattern, dependency, c.reason)
					}
				}
			})
		}
	}
}

// dependencies returns the packages that match a pattern and all packages that they
// link, directly or indirectly.
func dependencies(t *testing.T, pattern string) []string {
	t.Helper()
	command := exec.Command("go", "list", "-deps", pattern)
	command.Dir = ".."
	command.Stderr = os.Stderr
	output, err := command.Output()
	if err != nil {
		t.Fatalf("listing dependencies: %v", err)
	}
	found := strings.Fields(string(output))
	if len(found) == 0 {
		t.Fatalf("%s matches no packages: correct the pattern", pattern)
	}
	return found
}

// within reports whether the package `name` is the package `root` or is in a folder below it.
func within(name, root string) bool {
	return name == root || strings.HasPrefix(name, root+"/")
}

// TestProgramsAreListed fails if this test does not list a command. The author of a new command
// must add the command here. If the command is shipped, the author must also add it to
// TestTransitiveImports.
func TestProgramsAreListed(t *testing.T) {
	entries, err := os.ReadDir("../cmd")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if name := path.Join("cmd", entry.Name()); name != "cmd/sluice" && name != "cmd/sluice-demo" {
			t.Errorf("%s is not in TestTransitiveImports: add it there if it is shipped", name)
		}
	}
}
