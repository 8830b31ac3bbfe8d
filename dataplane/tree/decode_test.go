package tree_test

import (
	"slices"
	"testing"

	"github.com/sluicenet/sluice/dataplane/tree"
)

// TestDecode compares a tree that was decoded from memory with the same tree in a mapped file.
func TestDecode(t *testing.T) {
	b := smallBuilder(t)
	s := newFixture(t)
	s.publish(t, b)
	image, err := b.Encode(s.tree.Generation())
	if err != nil {
		t.Fatal(err)
	}
	words := image.Words()
	if !slices.Equal(words, wordsOf(smallTree(t))) {
		t.Error("the words of the image differ from the file")
	}
	decoded, err := tree.Decode(words)
	if err != nil {
		t.Fatal(err)
	}
	if decoded.Size() != s.tree.Size() || decoded.Counts() != s.tree.Counts() || decoded.Node() != s.tree.Node() {
		t.Errorf("decoded: %d bytes, %+v, node %s", decoded.Size(), decoded.Counts(), decoded.Node())
	}
	for _, f := range smallFlows() {
		if got, want := decoded.Evaluate(f), s.tree.Evaluate(f); got != want {
			t.Errorf("%v: decoded: %v, mapped: %v", f, got, want)
		}
	}
	exercise(decoded, smallFlows())
	for range 2 {
		if err := decoded.Close(); err != nil {
			t.Error(err)
		}
	}
}
