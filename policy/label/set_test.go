package label

import (
	"maps"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/labels"
	"pgregory.net/rapid"
)

// TestLabels tests that a Set contains the entries of the map from which the Set was created,
// and that two Sets are equal if and only if the maps are equal. Keys and values contain
// arbitrary bytes.
func TestLabels(t *testing.T) {
	text := rapid.OneOf(rapid.SampledFrom([]string{"", "a", "b", "ab", "\x00", "\x01a"}), rapid.String(), rapid.StringN(100, 300, 600))
	sets := rapid.MapOfN(text, text, 0, 40)
	rapid.Check(t, func(t *rapid.T) {
		in, other, key := sets.Draw(t, "in"), sets.Draw(t, "other"), text.Draw(t, "key")
		got := Of(in)
		if !maps.Equal(got.Map(), in) {
			t.Fatalf("%q became %q", in, got.Map())
		}
		if same := got == Of(other); same != maps.Equal(in, other) {
			t.Fatalf("%q and %q are equal: %t", in, other, same)
		}
		if got != Of(maps.Clone(in)) {
			t.Fatalf("%q does not equal the set of an equal map", in)
		}
		var keys []string
		for k := range got.All() {
			keys = append(keys, k)
		}
		if !slices.Equal(keys, slices.Sorted(maps.Keys(in))) {
			t.Fatalf("keys %q of %q", keys, in)
		}
		value, exists := in[key]
		if v, ok := got.Lookup(key); v != value || ok != exists || got.Has(key) != exists || got.Get(key) != value {
			t.Fatalf("%q of %q: %q, %t", key, in, v, ok)
		}
		with := got.With(key, "new").Map()
		want := maps.Clone(in)
		want[key] = "new"
		if !maps.Equal(with, want) {
			t.Fatalf("%q with %q became %q", in, key, with)
		}
		if got.String() != labels.Set(in).String() {
			t.Fatalf("%q is written %q", in, got)
		}
	})
}
