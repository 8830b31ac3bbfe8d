// Package notes extracts release notes from CHANGELOG.md.
package notes

import (
	"fmt"
	"strings"
)

// Section returns the content of the section of a version in a changelog, without its heading. The
// heading is "## [VERSION] - DATE".
func Section(changelog, version string) (string, error) {
	heading := "## [" + version + "]"
	var out strings.Builder
	found := false
	for line := range strings.Lines(changelog) {
		switch {
		case strings.HasPrefix(line, heading):
			found = true
		case found && strings.HasPrefix(line, "## "):
			return finish(out.String(), heading)
		case found:
			out.WriteString(line)
		}
	}
	if !found {
		return "", fmt.Errorf("CHANGELOG.md has no section %q: rename the section of unreleased changes, and add the date", heading+" - DATE")
	}
	return finish(out.String(), heading)
}

func finish(text, heading string) (string, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return "", fmt.Errorf("the section %q of CHANGELOG.md is empty", heading)
	}
	return text + "\n", nil
}
