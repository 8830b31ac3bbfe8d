package notes

import (
	"strings"
	"testing"
)

const changelog = `# Changelog

## [Unreleased]

## [0.2.0] - 2026-11-29

### Added

- A feature.

## [0.1.0] - 2026-01-01

## [0.0.1] - 2025-01-01

- The last section.
`

// TestSection checks which part of a changelog belongs to a version.
func TestSection(t *testing.T) {
	for version, want := range map[string]string{
		"0.2.0": "### Added\n\n- A feature.\n",
		"0.0.1": "- The last section.\n",
	} {
		if got, err := Section(changelog, version); err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", version, got, err, want)
		}
	}
	for version, want := range map[string]string{
		"0.3.0": `no section "## [0.3.0] - DATE"`,
		"0.1.0": `the section "## [0.1.0]" of CHANGELOG.md is empty`,
	} {
		if _, err := Section(changelog, version); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: the error is %v, want %q", version, err, want)
		}
	}
}
