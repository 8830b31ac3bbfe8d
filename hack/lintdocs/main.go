// Command lintdocs writes the table of lint checks to a page of the documentation. Two comments
// in the page mark the place of the table.
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/sluicenet/sluice/policy/lint"
)

const (
	begin = "<!-- BEGIN lint checks: go generate ./policy/lint -->\n"
	end   = "<!-- END lint checks -->\n"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: lintdocs PAGE")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "lintdocs:", err)
		os.Exit(1)
	}
}

func write(path string) error {
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	head, rest, found := strings.Cut(string(page), begin)
	_, tail, closed := strings.Cut(rest, end)
	if !found || !closed {
		return fmt.Errorf("%s has no lines %q and %q", path, strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	return os.WriteFile(path, []byte(head+begin+table()+end+tail), 0o644)
}

// table returns a Markdown table that describes the lint checks.
func table() string {
	var out strings.Builder
	out.WriteString("| check | severity | depends on | finds |\n|---|---|---|---|\n")
	for _, c := range lint.Checks() {
		var severities, scopes []string
		for _, s := range c.Severities {
			severities = append(severities, string(s))
		}
		for _, s := range c.Scopes {
			scopes = append(scopes, s.String())
		}
		fmt.Fprintf(&out, "| `%s` | %s | %s | %s |\n", c.Name, strings.Join(severities, ", "), strings.Join(scopes, ", "), c.Doc)
	}
	return out.String()
}
