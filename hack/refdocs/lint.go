package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/sluicenet/sluice/manifest"
	"github.com/sluicenet/sluice/policy/lint"
	"github.com/sluicenet/sluice/query"
)

// examples is the folder with an example for each lint check. The name of a file is the name of the
// check. sharedExample contains the objects of the cluster that all examples use.
const (
	examples      = "docs/examples/lint"
	sharedExample = "cluster.yaml"
)

// withoutExample contains the checks whose findings no short example can have.
var withoutExample = map[string]bool{"too-large": true, "check-failed": true}

// lintPage returns the page that describes all lint checks. For each check, it runs lint on the
// example of the check.
func lintPage(project string) (string, error) {
	var out strings.Builder
	out.WriteString(header("Lint checks", "This page lists the checks of `sluice lint`. It is for authors of policies and for\n"+
		"administrators. [commands.md](../commands.md#lint) describes the command. The following command runs all checks on one of\n"+
		"the examples of this page. The file `"+sharedExample+"` contains the objects of a small cluster, and the other file contains\n"+
		"the policy:"))
	fmt.Fprintf(&out, "\n```sh\nsluice lint -f %[1]s/%[2]s -f %[1]s/no-dns.yaml\n```\n\n", examples, sharedExample)
	out.WriteString(wrap("The column `depends on` lists the objects on which a check's findings depend: the `policy` itself, the pods and\n" +
		"policies of its `namespace`, or the objects of the whole `cluster`. The operator writes only findings that depend on the\n" +
		"policy or its namespace into the [PolicyStatus](../kinds.md#policystatus). So the findings reveal nothing about other\n" +
		"namespaces to a user who may read only one namespace. If the column contains `namespace, cluster`, the operator reports a\n" +
		"finding only if it depends on no object outside the policy's namespace. For example, the finding `block-of-pod` in a\n" +
		"PolicyStatus is always about pods of the policy's namespace. `sluice lint` runs all checks, with all objects of the input."))
	out.WriteString("\n| check | severity | depends on | finds |\n|---|---|---|---|\n")
	for _, c := range lint.Checks() {
		fmt.Fprintf(&out, "| [`%[1]s`](#%[1]s) | %s | %s | %s |\n", c.Name, severities(&c), scopes(&c), c.Doc)
	}
	for _, c := range lint.Checks() {
		if err := writeCheck(&out, project, &c); err != nil {
			return "", fmt.Errorf("%s: %w", c.Name, err)
		}
	}
	return out.String(), nil
}

// writeCheck writes the section about one check.
func writeCheck(out *strings.Builder, project string, c *lint.Check) error {
	fmt.Fprintf(out, "\n## %s\n\n", c.Name)
	out.WriteString(wrap(fmt.Sprintf("The check finds %s.", c.Doc)))
	fmt.Fprintf(out, "\n- Severity: %s\n- Depends on: %s\n", severities(c), scopes(c))
	if withoutExample[c.Name] {
		return nil
	}
	folder, name := filepath.Join(project, examples), c.Name+".yaml"
	f, err := findingOf(c, filepath.Join(folder, sharedExample), filepath.Join(folder, name))
	if err != nil {
		return err
	}
	example, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\n**Example:**\n\n```yaml\n%s```\n\n", example)
	message := f.Message
	if f.Detail != "" {
		message += " (" + f.Detail + ")"
	}
	at := ""
	if f.Field != "" {
		at = code(f.Field) + ": "
	}
	out.WriteString(wrap(fmt.Sprintf("**Finding:** %s, %s%s", f.Severity, at, plain(message))))
	if f.Fix != "" {
		out.WriteString("\n" + wrap("**Fix:** "+plain(f.Fix)))
	}
	return nil
}

// findingOf runs all lint checks on an example. It returns an error unless the only finding is a
// finding of the check.
func findingOf(c *lint.Check, files ...string) (*query.Finding, error) {
	set, err := manifest.Read(files, nil)
	if err != nil {
		return nil, err
	}
	set.AddTemplates()
	cluster := query.NewCluster(set)
	defer cluster.Close()
	report, err := cluster.Lint(query.LintOptions{})
	if err != nil {
		return nil, err
	}
	if len(report.Findings) != 1 || report.Findings[0].Check != c.Name {
		return nil, fmt.Errorf("lint must have one finding %s about the example, but it has %+v", c.Name, report.Findings)
	}
	return &report.Findings[0], nil
}

func severities(c *lint.Check) string {
	var names []string
	for _, s := range c.Severities {
		names = append(names, string(s))
	}
	return strings.Join(names, ", ")
}

func scopes(c *lint.Check) string {
	var names []string
	for _, s := range c.Scopes {
		names = append(names, s.String())
	}
	return strings.Join(names, ", ")
}

// plain escapes the characters of a text that have a meaning in Markdown.
func plain(text string) string {
	return strings.NewReplacer("<", "&lt;", "*", `\*`, "_", `\_`, "`", "\\`").Replace(text)
}
