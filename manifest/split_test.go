package manifest

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/policy/label"
)

// FuzzSplitList decodes lists as a whole, and also decodes them split into items. It checks
// that both methods return the same objects with the same line numbers.
func FuzzSplitList(f *testing.F) {
	const item = "- apiVersion: v1\n  kind: Namespace\n  metadata:\n    name: a\n"
	for _, items := range []string{
		item, item + "- kind: Node\n  apiVersion: v1\n  metadata: {name: n1}\n", "  " + item, item + "-\n  kind: Node\n",
		item + "    annotations: {note: \"x\n- y\n- z\"}\n", item + "    annotations:\n      note: |\n        - x\n",
		item + "    annotations: &a {x: y}\n- apiVersion: v1\n  kind: Node\n  metadata: {name: n1, annotations: *a}\n", item + "oops\n", item + "items: []\n",
	} {
		f.Add("apiVersion: v1\nitems:\n" + items + "kind: List\n")
	}
	f.Fuzz(func(t *testing.T, text string) {
		if checkText("list", []byte(text)) != nil {
			return
		}
		for _, document := range documents([]byte(text)) {
			split, splitErrs := decodeAll(yamlUnits("list", document, 0))
			whole, wholeErrs := decodeAll([]unit{{file: "list", chunk: document}})
			if (len(splitErrs) == 0) != (len(wholeErrs) == 0) {
				t.Fatalf("split: errors %v, whole: errors %v", splitErrs, wholeErrs)
			}
			if diff := cmp.Diff(whole, split, cmpopts.EquateComparable(label.Set{}, label.Selector{}), cmpopts.EquateEmpty()); diff != "" && len(wholeErrs) == 0 {
				t.Fatalf("objects (-whole +split):\n%s", diff)
			}
		}
	})
}

func decodeAll(units []unit) (*inventory.Set, inventory.Errors) {
	results := make([]decoded, len(units))
	for i := range units {
		results[i] = decodeUnit(units[i])
	}
	return join(units, results, nil, []source{{name: "list"}})
}
