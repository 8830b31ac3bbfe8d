package claims

import (
	"cmp"
	"testing"
)

// TestOwner checks the owner of a key while claims are added and removed.
func TestOwner(t *testing.T) {
	c := New(func(_ string, a, b int) int { return cmp.Compare(a, b) })
	for i, step := range []struct {
		change func(string, int)
		value  int
		want   int
	}{
		{c.Claim, 2, 2},
		{c.Claim, 1, 2},
		{c.Claim, 3, 3},
		{c.Claim, 3, 3},
		{c.Release, 3, 2},
		{c.Release, 3, 2},
		{c.Release, 2, 1},
		{c.Release, 1, 0},
	} {
		if step.change("key", step.value); c.Owner("key") != step.want {
			t.Errorf("step %d: owner %d, want %d", i, c.Owner("key"), step.want)
		}
	}
	if len(c.owners) != 0 || len(c.contested) != 0 {
		t.Errorf("%d keys and %d contested keys remain", len(c.owners), len(c.contested))
	}
}
