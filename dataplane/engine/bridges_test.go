package engine

import (
	"slices"
	"testing"

	"github.com/sluicenet/sluice/dataplane/link"
)

// A bridge that handles VLANs itself adds tags to the frames of its ports.
func TestPortsOf(t *testing.T) {
	got := portsOf([]link.Bridge{{Ports: []uint32{7, 3}}, {Ports: []uint32{4}, VLANs: true}, {Ports: []uint32{5}}})
	if want := []uint32{3, 5, 7}; !slices.Equal(got, want) {
		t.Errorf("portsOf: %v, want %v", got, want)
	}
}
