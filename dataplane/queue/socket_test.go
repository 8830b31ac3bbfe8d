package queue

import (
	"testing"
	"time"

	"github.com/mdlayher/netlink"
)

// A packet that is received before an acknowledgement must be delivered at once, because
// no further packet may arrive.
func TestPacketsBeforeAnAcknowledgementAreDeliveredAtOnce(t *testing.T) {
	begun := false
	s, err := newSocket(func(int) { begun = true }, func(int) {}, func() {})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	s.pending = []netlink.Message{{Header: netlink.Header{Type: 3 << 8}}}
	begin := time.Now()
	got, err := netlink.NewConn(s, s.kernel.Port()).Receive()
	if err != nil || len(got) != 1 || !begun {
		t.Errorf("after %s: %d packets, in a batch: %v, error: %v; want one packet in a batch", time.Since(begin), len(got), begun, err)
	}
}
