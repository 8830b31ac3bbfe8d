package hack_test

import (
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// These constants limit the sizes of files and packages. A package that reaches its limit
// probably has more than one purpose. Split such a package instead of raising the limit.
const (
	fileLimit    = 400  // lines of one Go file, tests included
	packageLimit = 2200 // lines of one package without its tests
	commandLimit = 1900 // lines of package cmd/sluice, which contains only flags and output
)

// networkPolicyLimit is the maximum number of files, not counting tests, that use the Kubernetes
// API type NetworkPolicy. Only the code that reads, caches or dumps the API objects needs this
// type. All other code uses policy.Policy.
const networkPolicyLimit = 8

var networkPolicy = regexp.MustCompile(`\*networkingv1\.NetworkPolicy\b`)

// TestSizes reports each file and each package that exceeds its limit.
func TestSizes(t *testing.T) {
	packages := make(map[string]int)
	for name, content := range goFiles(t) {
		lines := strings.Count(content, "\n")
		if lines > fileLimit {
			t.Errorf("%s has %d lines, more than %d", name, lines, fileLimit)
		}
		if !strings.HasSuffix(name, "_test.go") {
			packages[path.Dir(name)] += lines
		}
	}
	for _, name := range slices.Sorted(maps.Keys(packages)) {
		limit := packageLimit
		if name == "cmd/sluice" {
			limit = commandLimit
		}
		if packages[name] > limit {
			t.Errorf("%s has %d lines without its tests, more than %d", name, packages[name], limit)
		}
	}
}

// TestOneInterpretationOfNetworkPolicies fails if more than networkPolicyLimit files use the
// Kubernetes API type NetworkPolicy, and lists these files.
func TestOneInterpretationOfNetworkPolicies(t *testing.T) {
	var users []string
	for name, content := range goFiles(t) {
		tests := strings.HasSuffix(name, "_test.go") || within(name, "test")
		if !tests && networkPolicy.MatchString(content) {
			users = append(users, name)
		}
	}
	slices.Sort(users)
	if len(users) > networkPolicyLimit {
		t.Errorf("%d files use *networkingv1.NetworkPolicy, more than %d; use policy.Policy instead:\n%s",
			len(users), networkPolicyLimit, strings.Join(users, "\n"))
	}
}

// goFiles returns the contents of the project's Go files, except generated files. The keys are
// paths.
func goFiles(t *testing.T) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir("..", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && name != ".." && strings.HasPrefix(entry.Name(), ".") {
			return filepath.SkipDir
		}
		if filepath.Ext(name) == ".go" && !strings.HasPrefix(entry.Name(), "zz_generated.") {
			files[strings.TrimPrefix(filepath.ToSlash(name), "../")] = read(t, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
