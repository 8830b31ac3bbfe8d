package manifest_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/manifest"
)

// FuzzRead checks with arbitrary inputs that Read does not panic, and that every error
// contains the file name.
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
		var errs inventory.Errors
		if !errors.As(err, &errs) || len(errs) == 0 {
			t.Fatalf("error %v is not inventory.Errors", err)
		}
		for _, e := range errs {
			if !strings.HasPrefix(e.Error(), manifest.StdinName) {
				t.Fatalf("error %q does not name the file", e)
			}
		}
	})
}
