package netlink_test

import (
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/internal/netlink"
)

func open(t *testing.T) *netlink.Socket {
	t.Helper()
	s, err := netlink.Open(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// listLinks returns a request for all interfaces.
func listLinks() []byte {
	b := netlink.Begin(nil, netlink.Header{Type: unix.RTM_GETLINK, Flags: unix.NLM_F_REQUEST | unix.NLM_F_DUMP, Sequence: 1})
	return netlink.End(append(b, make([]byte, unix.SizeofIfInfomsg)...), 0)
}

func TestDumpListsInterfaces(t *testing.T) {
	s := open(t)
	buffer := make([]byte, 64<<10)
	stop := errors.New("stop")
	// The first call of Dump fails. The second call must not receive messages of the reply to
	// the first call.
	for _, want := range []error{stop, nil} {
		if err := s.Send(listLinks()); err != nil {
			t.Fatal(err)
		}
		loopback := false
		err := s.Dump(buffer, func(h netlink.Header, payload []byte) error {
			if h.Type != unix.RTM_NEWLINK || h.Port != s.Port() {
				t.Errorf("message %+v to port %d", h, s.Port())
			}
			attributes := netlink.ReadAttributes(payload[unix.SizeofIfInfomsg:])
			for attributes.Next() {
				loopback = loopback || attributes.Type == unix.IFLA_IFNAME && string(attributes.Value) == "lo\x00"
			}
			return errors.Join(want, attributes.Err())
		})
		if !errors.Is(err, want) || !loopback {
			t.Errorf("error %v, want %v; found the loopback interface: %v", err, want, loopback)
		}
	}
	if _, err := s.TryReceive(buffer); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("after the dumps: error %v, want %v", err, unix.EAGAIN)
	}
}

func TestReceiveEnds(t *testing.T) {
	s := open(t)
	if err := s.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Receive(make([]byte, 64)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after the deadline: error %v", err)
	}
	if err := s.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() {
		_, err := s.Receive(make([]byte, 64))
		ended <- err
	}()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: error %v, want %v", err, os.ErrClosed)
	}
}

func TestJoin(t *testing.T) {
	s := open(t)
	if err := s.Join(unix.RTNLGRP_LINK); err != nil {
		t.Error(err)
	}
	if err := s.Join(1 << 20); !errors.Is(err, unix.EINVAL) {
		t.Errorf("a group that does not exist: error %v, want %v", err, unix.EINVAL)
	}
}
