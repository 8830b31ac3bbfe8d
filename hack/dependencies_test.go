// Package hack_test checks properties of the whole project that linters do not check: its
// dependencies and transitive imports, the sizes of files and packages, and the links between
// pages.
package hack_test

import (
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDependenciesHaveReasons checks that the table in docs/dependencies.md lists exactly the
// modules that the project's packages and tests import.
func TestDependenciesHaveReasons(t *testing.T) {
	if diff := cmp.Diff(imported(t), explained(t)); diff != "" {
		t.Errorf("docs/dependencies.md must have one line for each module imported, by name (-imported +explained):\n%s", diff)
	}
}

// imported returns the modules that the packages and tests of the project import,
// sorted.
func imported(t *testing.T) []string {
	t.Helper()
	const imports = `{{range .Imports}}{{println .}}{{end}}{{range .TestImports}}{{println .}}{{end}}{{range .XTestImports}}{{println .}}{{end}}`
	command := exec.Command("go", "list", "-f", imports, "./...")
	command.Dir = ".."
	command.Stderr = os.Stderr
	packages, err := command.Output()
	if err != nil {
		t.Fatalf("listing imports: %v", err)
	}
	required := regexp.MustCompile(`(?m)^\t(\S+) v`).FindAllStringSubmatch(read(t, "../go.mod"), -1)
	found := make(map[string]bool)
	for path := range strings.Lines(string(packages)) {
		path = strings.TrimSpace(path)
		longest := ""
		for _, match := range required {
			module := match[1]
			if (path == module || strings.HasPrefix(path, module+"/")) && len(module) > len(longest) {
				longest = module
			}
		}
		if longest != "" {
			found[longest] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// explained returns the modules in the first column of the table, sorted.
func explained(t *testing.T) []string {
	t.Helper()
	rows := regexp.MustCompile("(?m)^\\| `(\\S+)` \\| \\S").FindAllStringSubmatch(read(t, "../docs/dependencies.md"), -1)
	modules := make(map[string]bool)
	for _, row := range rows {
		modules[row[1]] = true
	}
	return slices.Sorted(maps.Keys(modules))
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
