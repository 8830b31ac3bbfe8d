package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A list is the content of words.yaml.
type list struct {
	// Skip lists paths that are not checked. A path includes everything below it.
	Skip []struct{ Path, Why string }
	// Allow contains exceptions that apply to every word.
	Allow []exception
	Words []*word
}

// A word is one entry of the list. It contains the expressions to avoid, and the text to write
// instead.
type word struct {
	// Avoid contains regular expressions for whole words, in lower case. A space in
	// an expression matches any white space, including a line break.
	Avoid   []string
	Instead string
	// If Names is true, the entry also applies to the names that Go code declares, and to
	// string literals of one word. A name is split into words before it is checked: readFile
	// becomes "read file".
	Names bool
	Allow []exception

	pattern *regexp.Regexp
}

// An exception is a pattern for text in which a word is allowed. The text contains
// the word and its surroundings.
type exception struct {
	Text string
	Why  string
	// In limits the exception to these paths. Each path includes everything below it.
	In []string

	pattern *regexp.Regexp
}

// A finding is one occurrence of a word to avoid.
type finding struct {
	file    string
	line    int
	match   string
	instead string
}

func readList(project fs.FS, name string) (*list, error) {
	content, err := fs.ReadFile(project, name)
	if err != nil {
		return nil, fmt.Errorf("reading the list (run from the top folder of the project): %w", err)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	decoder.KnownFields(true)
	l := new(list)
	if err := decoder.Decode(l); err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return l, l.compile()
}

func (l *list) compile() error {
	for _, w := range l.Words {
		var err error
		if w.pattern, err = compile(w.Avoid...); err != nil {
			return err
		}
		if err := compileExceptions(w.Allow); err != nil {
			return err
		}
	}
	return compileExceptions(l.Allow)
}

func compileExceptions(exceptions []exception) error {
	for i := range exceptions {
		var err error
		if exceptions[i].pattern, err = compile(exceptions[i].Text); err != nil {
			return err
		}
	}
	return nil
}

// compile returns a pattern that matches any of the expressions as whole words. If an
// expression ends with a character class, such as "own[.,]", the match need not end at the end
// of a word.
func compile(expressions ...string) (*regexp.Regexp, error) {
	var alternatives []string
	for _, e := range expressions {
		e = `\b(?:` + strings.ReplaceAll(e, " ", `\s+`) + `)`
		if !strings.HasSuffix(e, "])") {
			e += `\b`
		}
		alternatives = append(alternatives, e)
	}
	pattern, err := regexp.Compile("(?i)" + strings.Join(alternatives, "|"))
	if err != nil {
		return nil, fmt.Errorf("words.yaml: %w", err)
	}
	return pattern, nil
}

// check checks files and folders. It returns the findings, sorted by file and line.
func (l *list) check(project fs.FS, paths []string) ([]finding, error) {
	var found []finding
	for _, root := range paths {
		err := fs.WalkDir(project, path.Clean(root), func(name string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if l.skips(name) {
				return skip(entry)
			}
			if entry.IsDir() {
				return nil
			}
			texts, err := extract(project, name)
			if err != nil {
				return err
			}
			for _, t := range texts {
				found = append(found, l.findings(name, t)...)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("checking %s: %w", root, err)
		}
	}
	slices.SortStableFunc(found, func(a, b finding) int {
		if a.file != b.file {
			return strings.Compare(a.file, b.file)
		}
		return a.line - b.line
	})
	return found, nil
}

func skip(entry fs.DirEntry) error {
	if entry.IsDir() {
		return fs.SkipDir
	}
	return nil
}

func (l *list) skips(name string) bool {
	for _, s := range l.Skip {
		if below(name, s.Path) {
			return true
		}
	}
	return false
}

// below reports whether a path is equal to the path of a folder, or is inside the folder.
func below(name, folder string) bool {
	return name == folder || strings.HasPrefix(name, folder+"/")
}

// findings returns the occurrences of words to avoid in one text. The `file` parameter is the path
// of the file that contains the text.
func (l *list) findings(file string, t text) []finding {
	var found []finding
	for _, w := range l.Words {
		if t.name && !w.Names {
			continue
		}
		for _, at := range w.pattern.FindAllStringIndex(t.content, -1) {
			if allowed(l.Allow, file, t.content, at) || allowed(w.Allow, file, t.content, at) {
				continue
			}
			found = append(found, finding{
				file:    file,
				line:    t.line + strings.Count(t.content[:at[0]], "\n"),
				match:   strings.Join(strings.Fields(t.content[at[0]:at[1]]), " "),
				instead: w.Instead,
			})
		}
	}
	return found
}

// allowed reports whether an exception applies to a finding. The finding is the text
// content[at[0]:at[1]]. The exception applies if its pattern matches a text that contains the
// whole finding.
func allowed(exceptions []exception, file, content string, at []int) bool {
	for _, e := range exceptions {
		if len(e.In) > 0 && !slices.ContainsFunc(e.In, func(folder string) bool { return below(file, folder) }) {
			continue
		}
		for _, covered := range e.pattern.FindAllStringIndex(content, -1) {
			if covered[0] <= at[0] && at[1] <= covered[1] {
				return true
			}
		}
	}
	return false
}
