package queue

import (
	"errors"
	"os"
	"testing"
	"time"

	mdlayher "github.com/mdlayher/netlink"

	"github.com/sluicenet/sluice/dataplane/internal/netlink"
)

// recorder is a handler that records the packets of each batch.
type recorder struct {
	begun, ended int
	payloads     []string
}

func (r *recorder) begin()                { r.begun++ }
func (r *recorder) handle(payload []byte) { r.payloads = append(r.payloads, string(payload)) }
func (r *recorder) end()                  { r.ended++ }
func (r *recorder) reject()               {}

// A packet that is received before an acknowledgement must be delivered at once, because
// no further packet may arrive.
func TestPacketsBeforeAnAcknowledgementAreDeliveredAtOnce(t *testing.T) {
	r := &recorder{}
	s, err := newSocket(r)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	s.pending = [][]byte{netlink.End(append(netlink.Begin(nil, netlink.Header{Type: typePacket}), "packet"...), 0)}
	_, err = mdlayher.NewConn(s, s.kernel.Port()).Receive()
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("error %v, want %v", err, os.ErrDeadlineExceeded)
	}
	if len(r.payloads) != 1 || r.begun != 1 || r.ended != 1 {
		t.Errorf("%d packets in %d batches of which %d ended, want one packet in a batch", len(r.payloads), r.begun, r.ended)
	}
}
