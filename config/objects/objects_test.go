package objects_test

import (
	"strings"
	"testing"

	"github.com/sluicenet/sluice/config/objects"
)

func TestDecode(t *testing.T) {
	for name, test := range map[string]struct {
		text, want string
		fails      bool
	}{
		"nothing":         {"", "", false},
		"YAML":            {"---\nkind: A\n---\n# empty\n---\nkind: B\n", "A B", false},
		"JSON":            {`{"kind": "A"}`, "A", false},
		"a broken object": {"kind: A\n---\n{", "", true},
	} {
		got, err := objects.Decode([]byte(test.text))
		var kinds []string
		for _, object := range got {
			kinds = append(kinds, object.GetKind())
		}
		if strings.Join(kinds, " ") != test.want || (err != nil) != test.fails {
			t.Errorf("%s: %v, %v, want %q", name, kinds, err, test.want)
		}
	}
}
