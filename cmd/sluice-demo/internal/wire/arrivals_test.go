package wire

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// The `read` method must return the time at which the data arrived, even if the test reads the
// data later. The test sends data, notes the time, and then reads the data. The arrival time
// must not be after the noted time. The kernel does not add timestamps immediately after they
// are enabled, so the test repeats this check.
func TestArrivalTimesAreThoseOfTheKernel(t *testing.T) {
	for network, pair := range map[string]func(*testing.T) (from, to net.Conn){"udp": udpPair, "tcp": tcpPair} {
		t.Run(network, func(t *testing.T) {
			from, to := pair(t)
			a, err := newArrivals(to)
			if err != nil {
				t.Fatal(err)
			}
			deadline := time.Now().Add(10 * time.Second)
			for {
				if _, err := from.Write([]byte("now")); err != nil {
					t.Fatal(err)
				}
				sent := time.Now()
				n, at, err := a.read(make([]byte, 16))
				if n != 3 || err != nil {
					t.Fatalf("%d bytes, %v", n, err)
				}
				if !at.After(sent) {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("what was sent by %s came at %s", sent, at)
				}
			}
			if network == "tcp" {
				_ = from.Close()
				if _, _, err := a.read(make([]byte, 16)); !errors.Is(err, io.EOF) {
					t.Errorf("reading to the end: %v, want io.EOF", err)
				}
			}
			_ = to.Close()
			if _, _, err := a.read(make([]byte, 16)); !errors.Is(err, net.ErrClosed) {
				t.Errorf("reading a closed socket: %v", err)
			}
		})
	}
}

func udpPair(t *testing.T) (from, to net.Conn) {
	t.Helper()
	to, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	if from, err = net.Dial("udp", to.LocalAddr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = from.Close(); _ = to.Close() })
	return from, to
}

func tcpPair(t *testing.T) (from, to net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if from, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if to, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = from.Close(); _ = to.Close() })
	return from, to
}
