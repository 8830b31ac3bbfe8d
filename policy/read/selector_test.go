package read

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"pgregory.net/rapid"

	"github.com/sluicenet/sluice/policy/internal/field"
	"github.com/sluicenet/sluice/policy/label"
)

// TestSelectorAgreesWithAPIMachinery compares Selector with package labels of
// k8s.io/apimachinery. The API server and its clients use this package to match labels.
func TestSelectorAgreesWithAPIMachinery(t *testing.T) {
	word := rapid.SampledFrom([]string{"a", "b", "example.com/c", "d"})
	values := rapid.SliceOfN(word, 1, 3)
	rapid.Check(t, func(t *rapid.T) {
		in := &metav1.LabelSelector{MatchLabels: rapid.MapOfN(word, rapid.SampledFrom([]string{"", "a", "b"}), 0, 2).Draw(t, "matchLabels")}
		for range rapid.IntRange(0, 3).Draw(t, "expressions") {
			e := metav1.LabelSelectorRequirement{Key: word.Draw(t, "key"), Operator: rapid.SampledFrom([]metav1.LabelSelectorOperator{
				metav1.LabelSelectorOpIn, metav1.LabelSelectorOpNotIn, metav1.LabelSelectorOpExists, metav1.LabelSelectorOpDoesNotExist,
			}).Draw(t, "operator")}
			if e.Operator == metav1.LabelSelectorOpIn || e.Operator == metav1.LabelSelectorOpNotIn {
				for _, v := range values.Draw(t, "values") {
					e.Values = append(e.Values, v[:1])
				}
			}
			in.MatchExpressions = append(in.MatchExpressions, e)
		}
		want, err := metav1.LabelSelectorAsSelector(in)
		if err != nil {
			t.Fatalf("selector %v: %v", in, err)
		}
		var r networkPolicyReader
		got, valid := r.selector(field.Path{Parent: "spec"}, in)
		if !valid || got.Empty() != want.Empty() {
			t.Fatalf("selector %v: valid %v, empty %v, want a valid one, empty %v", in, valid, got.Empty(), want.Empty())
		}
		set := rapid.MapOfN(word, rapid.SampledFrom([]string{"", "a", "b", "e", "d"}), 0, 4).Draw(t, "labels")
		if got.Matches(label.Of(set)) != want.Matches(labels.Set(set)) {
			t.Fatalf("%s matches %v: %v, want %v", got, set, got.Matches(label.Of(set)), want.Matches(labels.Set(set)))
		}
	})
}

func selecting(pairs ...string) *metav1.LabelSelector {
	s := &metav1.LabelSelector{MatchLabels: map[string]string{}}
	for i := 0; i < len(pairs); i += 2 {
		s.MatchLabels[pairs[i]] = pairs[i+1]
	}
	return s
}

func TestSelectorString(t *testing.T) {
	tests := map[string]*metav1.LabelSelector{
		"<none>":          {},
		"app=web":         selecting("app", "web"),
		"a=b,c=d":         selecting("c", "d", "a", "b"),
		"app in (a,b),!x": {MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "x", Operator: metav1.LabelSelectorOpDoesNotExist}, {Key: "app", Operator: metav1.LabelSelectorOpIn, Values: []string{"b", "a"}}}},
		"app notin (a)":   {MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "app", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"a"}}}},
	}
	for want, in := range tests {
		var r networkPolicyReader
		got, _ := r.selector(field.Path{Parent: "spec"}, in)
		if got.String() != want || want != metav1.FormatLabelSelector(in) {
			t.Errorf("got %q, want %q; kubectl writes %q", got, want, metav1.FormatLabelSelector(in))
		}
	}
}

func TestEqualSelectorsAreOne(t *testing.T) {
	read := func(in *metav1.LabelSelector) label.Selector {
		var r networkPolicyReader
		s, _ := r.selector(field.Path{Parent: "spec"}, in)
		return s
	}
	in := func(values ...string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "app", Operator: metav1.LabelSelectorOpIn, Values: values}}}
	}
	if read(in("a", "b")) != read(in("b", "a", "b")) {
		t.Error("selectors with the same values in another order are not equal")
	}
	if read(in("a")) == read(in("b")) || read(in("a")) == read(selecting("app", "a")) {
		t.Error("different selectors are equal")
	}
	if (label.Selector{}) == read(&metav1.LabelSelector{}) {
		t.Error("an absent selector equals an empty one")
	}
}
