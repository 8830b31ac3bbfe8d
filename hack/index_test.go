package hack_test

import (
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	// indexHeading matches a heading in docs/README.md.
	indexHeading = regexp.MustCompile(`(?m)^## (.+)\n`)
	// indexEntry matches a line of docs/README.md that lists a page.
	indexEntry = regexp.MustCompile(`(?m)^\d+\. \[[^\]]+\]\(([^)#]+)\): `)
)

// TestIndexListsAllPages checks that docs/README.md lists each page in docs exactly once, under one
// of its headings.
func TestIndexListsAllPages(t *testing.T) {
	const folder = "../docs/"
	all := pages(t)
	intro, _, _ := strings.Cut(all[folder+"README.md"], "\n## ")
	if indexEntry.MatchString(intro) {
		t.Error("docs/README.md lists a page above the first heading")
	}
	var headings []string
	for _, match := range indexHeading.FindAllStringSubmatch(all[folder+"README.md"], -1) {
		headings = append(headings, match[1])
	}
	if diff := cmp.Diff([]string{"Quick start", "Concepts", "Tasks", "Reference"}, headings); diff != "" {
		t.Errorf("docs/README.md has other headings (-want +got):\n%s", diff)
	}
	want, got := map[string]int{}, map[string]int{}
	for name := range all {
		if name != folder+"README.md" && strings.HasPrefix(name, folder) {
			want[name] = 1
		}
	}
	for _, match := range indexEntry.FindAllStringSubmatch(all[folder+"README.md"], -1) {
		got[path.Join(folder, match[1])]++
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/README.md must list each page in docs once (-want +got):\n%s", diff)
	}
}
