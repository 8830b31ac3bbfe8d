// Command importrule checks that the linter enforces the import directions in
// docs/architecture.md. It creates a scratch module with the project's linter
// configuration and one file for each import that the linter must or must not
// report. It then runs the linter on this module and compares the findings.
//
//	importrule PATH-OF-GOLANGCI-LINT
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

const module = "github.com/sluicenet/sluice"

// A direction is one import: a package in the folder `from` imports the package `to`. The linter
// must report this import if and only if `forbidden` is true.
type direction struct {
	from, to  string
	forbidden bool
}

// directions contains one example import for each linter rule that allows or forbids
// imports.
var directions = []direction{
	{"dataplane/flow", "net/netip", false},
	{"dataplane/flow", "golang.org/x/sys/unix", true},
	{"internal/trigger", module + "/dataplane/flow", true},
	{"dataplane/rule", module + "/dataplane/flow", false},
	{"dataplane/rule", module + "/policy", true},
	{"dataplane/report", module + "/dataplane/rule", false},
	{"dataplane/report", module + "/dataplane/tree", true},
	{"dataplane/report", "golang.org/x/sys/unix", true},
	{"dataplane/sandbox", module + "/dataplane/report", false},
	{"dataplane/sandbox", "golang.org/x/sys/unix", false},
	{"dataplane/sandbox", module + "/dataplane/statedir", true},
	{"dataplane/tree", module + "/dataplane/rule", false},
	{"dataplane/tree", "golang.org/x/sys/unix", false},
	{"dataplane/tree", module + "/policy", true},
	{"dataplane/queue", module + "/internal/trigger", false},
	{"dataplane/engine", module + "/internal/buildinfo", false},
	{"dataplane/queue", module + "/manifest", true},
	{"dataplane/queue", module + "/api/v1alpha1", true},
	{"dataplane/queue", module + "/controllers/node", true},
	{"dataplane/queue", "k8s.io/api/networking/v1", true},
	{"dataplane/queue", "k8s.io/apimachinery/pkg/types", true},
	{"dataplane/queue", "sigs.k8s.io/yaml", true},
	{"dataplane/ruleset", "log/slog", true},
	{"policy", module + "/dataplane/rule", false},
	{"policy", "k8s.io/api/networking/v1", false},
	{"policy", module + "/dataplane/tree", true},
	{"policy", module + "/api/v1alpha1", true},
	{"policy", "os", true},
	{"policy", "net", true},
	{"policy/lint", module + "/policy", false},
	{"policy/lint", module + "/manifest", true},
	{"api/v1alpha1", "k8s.io/apimachinery/pkg/apis/meta/v1", false},
	{"api/v1alpha1", "k8s.io/api/core/v1", true},
	{"api/v1alpha1", "sigs.k8s.io/controller-runtime/pkg/client", true},
	{"api/v1alpha1", module + "/dataplane/flow", true},
	{"controllers/node", module + "/api/v1alpha1", false},
	{"controllers/node", module + "/policy", false},
	{"controllers/node", module + "/dataplane/tree", false},
	{"controllers/node", module + "/dataplane/report", false},
	{"controllers/node", module + "/dataplane/packet", true},
	{"controllers/node", module + "/dataplane/queue", true},
	{"controllers/node", module + "/dataplane/conntrack", true},
	{"controllers/node", module + "/dataplane/engine", true},
	{"controllers/node", module + "/dataplane/sandbox", true},
	{"controllers/node", module + "/manifest", true},
	{"controllers/policystatus", module + "/policy/lint", false},
	{"controllers/policystatus", module + "/query", true},
	{"controllers/enforcer", module + "/dataplane/ruleset", true},
	{"controllers/operator", module + "/test/kube", true},
	{"manifest", module + "/policy", false},
	{"manifest", module + "/inventory", false},
	{"manifest", module + "/dataplane/tree", true},
	{"inventory", module + "/policy", false},
	{"inventory", module + "/manifest", true},
	{"live", module + "/api/v1alpha1", false},
	{"live", module + "/inventory", false},
	{"live", module + "/policy", false},
	{"live", module + "/manifest", true},
	{"live", module + "/dataplane/tree", true},
	{"query", module + "/dataplane/tree", false},
	{"query", module + "/dataplane/report", false},
	{"query", module + "/inventory", false},
	{"query", module + "/internal/table", false},
	{"query", module + "/manifest", true},
	{"ui", module + "/query", false},
	{"ui", module + "/dataplane/engine", true},
	{"check", module + "/live", false},
	{"check", module + "/internal/table", false},
	{"check", module + "/dataplane/nodecheck", true},
	{"sysdump", module + "/check", false},
	{"query", module + "/live", true},
	{"query", module + "/dataplane/engine", true},
	{"query", module + "/dataplane/statedir", true},
	{"query/publication", module + "/dataplane/statedir", false},
	{"query", module + "/cmd/sluice", true},
	{"cmd/sluice", module + "/dataplane/tree", false},
	{"cmd/sluice", module + "/policy", false},
	{"cmd/sluice", module + "/test/labcluster", true},
	{"cmd/sluice-demo", module + "/test/lab", false},
	{"hack/lab", module + "/test/labcluster", false},
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: importrule PATH-OF-GOLANGCI-LINT")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "importrule:", err)
		os.Exit(1)
	}
}

func run(linter string) error {
	scratch, err := os.MkdirTemp("", "sluice-importrule-")
	if err != nil {
		return fmt.Errorf("creating the scratch module: %w", err)
	}
	defer os.RemoveAll(scratch)

	for _, name := range []string{".golangci.yml", "go.mod", "go.sum"} {
		content, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("reading %s (run from the top folder of the project): %w", name, err)
		}
		if err := os.WriteFile(filepath.Join(scratch, name), content, 0o644); err != nil {
			return fmt.Errorf("writing the scratch module: %w", err)
		}
	}
	for i, d := range directions {
		if err := d.write(scratch, i); err != nil {
			return fmt.Errorf("writing the scratch module: %w", err)
		}
	}

	found, err := lint(scratch, linter)
	if err != nil {
		return err
	}
	wrong := 0
	for i, d := range directions {
		if found[d.file(i)] == d.forbidden {
			continue
		}
		wrong++
		if d.forbidden {
			fmt.Fprintf(os.Stderr, "%s may import %s: the rules should forbid it\n", d.from, d.to)
		} else {
			fmt.Fprintf(os.Stderr, "%s may not import %s: the rules should allow it\n", d.from, d.to)
		}
	}
	if wrong > 0 {
		return fmt.Errorf(".golangci.yml is wrong about %d of %d import directions", wrong, len(directions))
	}
	fmt.Printf("importrule: the linter enforces %d import directions\n", len(directions))
	return nil
}

// file returns the path of the file that contains the import, relative to the scratch module. Each
// file is in a separate package, so that the imports form no cycle.
func (d direction) file(i int) string {
	return path.Join(d.from, fmt.Sprintf("from%d", i), "from.go")
}

// write writes a file with the import to the scratch module. If the imported path belongs to this
// project, it also creates an empty package with this path.
func (d direction) write(scratch string, i int) error {
	files := map[string]string{d.file(i): "package from\n\nimport _ \"" + d.to + "\"\n"}
	if target, ok := strings.CutPrefix(d.to, module+"/"); ok {
		files[path.Join(target, "target.go")] = "package target\n"
	}
	for name, content := range files {
		name = filepath.Join(scratch, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// lint runs the linter on the scratch module with only the check depguard enabled. It returns the
// files for which the linter reports a finding.
func lint(scratch, linter string) (map[string]bool, error) {
	command := exec.Command(linter,
		"run", "--enable-only=depguard", "--show-stats=false", "--output.json.path=stdout", "./...")
	command.Dir = scratch
	command.Stderr = os.Stderr
	output, err := command.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return nil, fmt.Errorf("running the linter: %w", err)
	}
	var report struct {
		Issues []struct {
			FromLinter, Text string
			Pos              struct{ Filename string }
		}
	}
	if err := json.Unmarshal(output, &report); err != nil {
		return nil, fmt.Errorf("reading the linter's report %q: %w", output, err)
	}
	found := make(map[string]bool)
	for _, issue := range report.Issues {
		if issue.FromLinter != "depguard" {
			return nil, fmt.Errorf("linting %s: %s", issue.Pos.Filename, issue.Text)
		}
		found[filepath.ToSlash(issue.Pos.Filename)] = true
	}
	return found, nil
}
