// Command sampleprose prints a random sample of comments or documentation sentences. The
// sample is for a review by a reader who has not seen the code. Each comment or sentence that
// this reader has to read twice should be rewritten.
//
//	sampleprose [-seed N] [-n 60] [-kind comments|docs]
//
// The same seed selects the same sample from the same files. Comments are the
// doc comments of Go code, and other comments of at least two lines or eight
// words. Documentation is the prose of all Markdown files: paragraphs, list
// items and table cells, split into sentences. The command runs from the top
// folder of the project.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
)

// A block is a piece of prose with its file and line.
type block struct {
	file  string
	line  int
	prose string
}

func main() {
	seed := flag.Uint64("seed", 1, "seed of the random selection")
	n := flag.Int("n", 60, "number of blocks")
	kind := flag.String("kind", "comments", "what to sample: comments or docs")
	flag.Parse()
	if err := run(os.DirFS("."), *seed, *n, *kind, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "sampleprose:", err)
		os.Exit(2)
	}
}

func run(project fs.FS, seed uint64, n int, kind string, output io.Writer) error {
	read := map[string]func(string, []byte) ([]block, error){"comments": comments, "docs": sentences}[kind]
	if read == nil {
		return fmt.Errorf("-kind %q is unknown: use comments or docs", kind)
	}
	extension := map[string]string{"comments": ".go", "docs": ".md"}[kind]
	all, err := collect(project, extension, read)
	if err != nil {
		return err
	}
	sample := choose(all, seed, n)
	for i, b := range sample {
		fmt.Fprintf(output, "%d. %s:%d\n%s\n\n", i+1, b.file, b.line, indent(b.prose))
	}
	fmt.Fprintf(output, "%d of %d %s, seed %d\n", len(sample), len(all), kind, seed)
	return nil
}

// generated are the names of directories without prose of the project.
var generated = []string{"bin", "dist", "node_modules"}

// collect reads the blocks of all files with the given extension, in the order of
// the paths.
func collect(project fs.FS, extension string, read func(string, []byte) ([]block, error)) ([]block, error) {
	var all []block
	err := fs.WalkDir(project, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && name != "." && (strings.HasPrefix(name, ".") || slices.Contains(generated, entry.Name())) {
			return fs.SkipDir
		}
		if entry.IsDir() || !strings.HasSuffix(name, extension) {
			return nil
		}
		content, err := fs.ReadFile(project, name)
		if err != nil {
			return err
		}
		blocks, err := read(name, content)
		all = append(all, blocks...)
		return err
	})
	return all, err
}

// choose returns n random blocks in random order, or all blocks if there are fewer
// than n.
func choose(all []block, seed uint64, n int) []block {
	sorted := slices.Clone(all)
	slices.SortStableFunc(sorted, func(a, b block) int {
		return cmp.Or(strings.Compare(a.file, b.file), a.line-b.line)
	})
	random := rand.New(rand.NewPCG(seed, 0))
	random.Shuffle(len(sorted), func(i, j int) { sorted[i], sorted[j] = sorted[j], sorted[i] })
	return sorted[:min(n, len(sorted))]
}

func indent(prose string) string {
	return "    " + strings.ReplaceAll(prose, "\n", "\n    ")
}
