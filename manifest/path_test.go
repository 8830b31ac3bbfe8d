package manifest_test

import (
	"testing"

	"github.com/sluicenet/sluice/manifest"
)

func TestLines(t *testing.T) {
	lines := manifest.LinesOf([]byte("kind: NetworkPolicy\nspec:\n  ingress:\n  - from:\n    - podSelector: {}\n  - ports: [{port: 80}]\n"))
	for field, want := range map[string]int{
		"spec":                            2,
		"spec.ingress[0]":                 4,
		"spec.ingress[0].from[0]":         5,
		"spec.ingress[1]":                 6,
		"spec.ingress[1].ports[0].port":   6,
		"spec.ingress[2]":                 3, // It does not exist, so this is the line of the list.
		"spec.egress[0].to[0].ipBlock":    2,
		"metadata.name":                   1,
		"spec.ingress[0].from[0].ipBlock": 5,
	} {
		if got := lines.Of(field); got != want {
			t.Errorf("%s is on line %d, want %d", field, got, want)
		}
	}
	if got := manifest.LinesOf([]byte("a: [")).Of("a"); got != 0 {
		t.Errorf("line %d of a text that is not YAML, want 0", got)
	}
}
