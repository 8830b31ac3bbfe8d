package flows

import (
	"strings"
	"testing"
)

func TestConfirmed(t *testing.T) {
	for reply, want := range map[string]bool{
		"y\n": true, "yes\n": true, "y\r\n": true, "yes\r\n": true,
		"": false, "\n": false, "y": false, "n\n": false, "yesterday\n": false,
	} {
		if got := confirmed(strings.NewReader(reply)); got != want {
			t.Errorf("%q: confirmed is %v, want %v", reply, got, want)
		}
	}
}
