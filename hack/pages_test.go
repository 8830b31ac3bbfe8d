package hack_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// link matches a Markdown link to a file of the project. It matches no link with a scheme and
// no link to an anchor on the same page.
var link = regexp.MustCompile(`\]\(([^)#:\s]+)(#[^)\s]*)?\)`)

// TestLinksResolve checks that the target of every link between the project's pages
// exists.
func TestLinksResolve(t *testing.T) {
	for name, content := range pages(t) {
		for _, match := range link.FindAllStringSubmatch(content, -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(name), match[1])); err != nil {
				t.Errorf("%s links to %s, which does not exist", name, match[1])
			}
		}
	}
}

// columns is the maximum width of a page. Tables, code, and lines without a space can be wider.
const columns = 100

func TestPagesAreWrapped(t *testing.T) {
	for name, content := range pages(t) {
		inCode, number := false, 0
		for line := range strings.Lines(content) {
			number++
			line = strings.TrimRight(line, "\n")
			if strings.HasPrefix(strings.TrimSpace(line), "```") {
				inCode = !inCode
			}
			exempt := inCode || strings.HasPrefix(line, "|") || strings.HasPrefix(line, "    ") ||
				!strings.Contains(strings.TrimSpace(line), " ")
			if utf8.RuneCountInString(line) > columns && !exempt {
				t.Errorf("%s:%d has more than %d columns", name, number, columns)
			}
		}
	}
}

// pages returns the contents of all Markdown files. The keys are paths.
func pages(t *testing.T) map[string]string {
	t.Helper()
	found := make(map[string]string)
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		hidden := strings.HasPrefix(entry.Name(), ".") || entry.Name() == "node_modules"
		if entry.IsDir() && hidden && entry.Name() != ".." {
			return filepath.SkipDir
		}
		if filepath.Ext(path) == ".md" {
			found[path] = read(t, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
