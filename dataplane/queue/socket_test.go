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
	begun, ended, rejected int
	payloads               []string
}

func (r *recorder) begin()                { r.begun++ }
func (r *recorder) handle(payload []byte) { r.payloads = append(r.payloads, string(payload)) }
func (r *recorder) end()                  { r.ended++ }
func (r *recorder) reject()               { r.rejected++ }

// TestPacketsBeforeAnAcknowledgementAreDeliveredAtOnce checks that a packet is delivered
// immediately if an acknowledgement follows it on the socket. The delivery must not wait for another
// packet, because there may never be one.
func TestPacketsBeforeAnAcknowledgementAreDeliveredAtOnce(t *testing.T) {
	r := &recorder{}
	s, err := newSocket(r)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	time.AfterFunc(100*time.Millisecond, func() {
		if err := s.SetReadDeadline(time.Now()); err != nil {
			t.Error(err)
		}
	})
	s.pending = [][]byte{netlink.End(append(netlink.Begin(nil, netlink.Header{Type: typePacket}), "packet"...), 0)}
	_, err = mdlayher.NewConn(s, s.kernel.Port()).Receive()
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("error %v, want %v", err, os.ErrDeadlineExceeded)
	}
	if len(r.payloads) != 1 || r.begun != 1 || r.ended != 1 {
		t.Errorf("%d packets in %d batches of which %d ended, want one packet in a batch", len(r.payloads), r.begun, r.ended)
	}
}

// TestWaitIsInterrupted checks that SetReadDeadline and Close interrupt the wait for packets at
// once.
func TestWaitIsInterrupted(t *testing.T) {
	for name, interrupt := range map[string]func(*socket) error{
		"SetReadDeadline": func(s *socket) error { return s.SetReadDeadline(time.Now().Add(-time.Second)) },
		"Close":           (*socket).Close,
	} {
		t.Run(name, func(t *testing.T) {
			r := &recorder{}
			s, err := newSocket(r)
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan error)
			go func() {
				_, err := s.Receive()
				ended <- err
			}()
			// Give the goroutine time to start waiting for a packet.
			<-time.After(20 * time.Millisecond)
			if err := interrupt(s); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-ended:
				if !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("error %v, want %v", err, os.ErrDeadlineExceeded)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("the socket still waits for packets")
			}
			if r.rejected != 0 {
				t.Error("the acknowledgement that woke the thread was counted as a rejected verdict")
			}
			if name != "Close" {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
