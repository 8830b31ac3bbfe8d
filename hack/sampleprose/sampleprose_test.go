package main

import (
	"bytes"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

const goFile = `// Package a is documented.
package a

// B is short.
type B int

func f() {
	// too short
	f() // one two three four five six seven eight
}
`

const markdownFile = `# A heading of more than five words

This is the first sentence of
the page. This is the second (e.g. short) sentence.

- an item of five words

| a | a cell of five words |
|---|---|

    some indented code with many words

` + "```\nsome fenced code with many words\n```\n"

func TestBlocksOfAFile(t *testing.T) {
	got, err := comments("a.go", []byte(goFile))
	if err != nil {
		t.Fatal(err)
	}
	want := []block{
		{"a.go", 1, "Package a is documented."},
		{"a.go", 4, "B is short."},
		{"a.go", 9, "one two three four five six seven eight"},
	}
	compare(t, want, got)

	got, err = sentences("a.md", []byte(markdownFile))
	if err != nil {
		t.Fatal(err)
	}
	want = []block{
		{"a.md", 3, "This is the first sentence of the page."},
		{"a.md", 4, "This is the second (e.g. short) sentence."},
		{"a.md", 6, "an item of five words"},
		{"a.md", 8, "a cell of five words"},
	}
	compare(t, want, got)
}

func TestTheSameSeedSelectsTheSameSample(t *testing.T) {
	project := fstest.MapFS{"a.md": {Data: []byte(markdownFile)}}
	sample := func(seed uint64) string {
		var output bytes.Buffer
		if err := run(project, seed, 2, "docs", &output); err != nil {
			t.Fatal(err)
		}
		return output.String()
	}
	if diff := cmp.Diff(sample(7), sample(7)); diff != "" {
		t.Errorf("two samples of seed 7 differ:\n%s", diff)
	}
	if sample(7) == sample(8) && sample(8) == sample(9) && sample(9) == sample(10) {
		t.Error("four seeds select the same sample")
	}
}

func compare(t *testing.T, want, got []block) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(block{})); diff != "" {
		t.Errorf("blocks (-want +got):\n%s", diff)
	}
}
