package manifest_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/manifest"
)

// FuzzRead: no input makes the reader panic, and what it refuses it refuses
// with faults that name the file.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		podYAML, policyYAML, podYAML + "---\n" + policyYAML,
		`{"apiVersion":"v1","kind":"List","items":[{"kind":"Pod"}]}`,
		"kind: List\nitems:\n- kind: Node\n  apiVersion: v1\n",
		"--- !!binary x\n", "a: &a [*a]\n", "? {a: b}\n: c\n", "kind: [\n", "{", "[]", "...\n%\n---", "kind: NetworkPolicy\napiVersion: networking.k8s.io/v1\nmetadata: {name: .nan}\nspec: {podSelector: .inf}\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		set, err := read(text)
		if err == nil {
			set.AssignAddresses()
			set.Snapshot().Policies()
			return
		}
		var faults inventory.Errors
		if !errors.As(err, &faults) || len(faults) == 0 {
			t.Fatalf("error %v is not a list of faults", err)
		}
		for _, fault := range faults {
			if !strings.HasPrefix(fault.Error(), manifest.StdinName) {
				t.Fatalf("fault %q does not name the file", fault)
			}
		}
	})
}
