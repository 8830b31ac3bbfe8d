package bench_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// sendConfig contains the flows of the datagrams that the child process sends. The host of this
// process need not have the source addresses.
type sendConfig struct{ Flows []udpFlow }

type udpFlow struct {
	Src, Dst netip.Addr
	DstPort  uint16
}

// sendRequest requests datagrams. Each datagram is the first packet of a new flow.
type sendRequest struct {
	Count int
	// PerSecond is the number of datagrams per second. The value 0 means no limit.
	PerSecond int
	// Random means that the intervals between datagrams are random, as if many independent
	// senders sent the datagrams (a Poisson process). If Random is false, all intervals are
	// equal.
	Random bool
}

type sent struct{ Took time.Duration }

const (
	ipHeader     = 20
	udpHeader    = 8
	datagramSize = ipHeader + udpHeader + 36
	firstPort    = 1024
	sourcePorts  = 1<<16 - firstPort
)

func sendRole(in *json.Decoder, out *json.Encoder) error {
	runtime.LockOSThread()
	var config sendConfig
	if err := in.Decode(&config); err != nil {
		return err
	}
	// With IPPROTO_RAW, the sender itself provides the IP header, including the source address
	// (raw(7)).
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return fmt.Errorf("opening raw socket: %w", err)
	}
	// Set the timer slack of the thread to one nanosecond, so that sleeps do not end late
	// (prctl(2)).
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("setting timer slack: %w", err)
	}
	if err := out.Encode(struct{}{}); err != nil {
		return err
	}
	for number := 0; ; {
		var r sendRequest
		if err := in.Decode(&r); err != nil {
			return err
		}
		random := rand.New(rand.NewPCG(1, uint64(number)))
		begin := time.Now()
		next := begin
		for range r.Count {
			if r.PerSecond > 0 {
				waitUntil(next)
				gap := 1.0
				if r.Random {
					gap = random.ExpFloat64()
				}
				next = next.Add(time.Duration(gap * float64(time.Second) / float64(r.PerSecond)))
			}
			if err := send(fd, config.Flows, number); err != nil {
				return err
			}
			number++
		}
		if err := out.Encode(sent{Took: time.Since(begin)}); err != nil {
			return err
		}
	}
}

// waitUntil suspends the thread until the time t.
func waitUntil(t time.Time) {
	if d := time.Until(t); d > 0 {
		pause := unix.NsecToTimespec(int64(d))
		_ = unix.Nanosleep(&pause, nil)
	}
}

// send sends the datagram with the given number.
func send(fd int, flows []udpFlow, number int) error {
	f := flows[number%len(flows)]
	var data [datagramSize]byte
	data[0] = 4<<4 | ipHeader/4
	data[8] = 64
	data[9] = unix.IPPROTO_UDP
	src, dst := f.Src.As4(), f.Dst.As4()
	copy(data[12:], src[:])
	copy(data[16:], dst[:])
	binary.BigEndian.PutUint16(data[20:], uint16(firstPort+number/len(flows)%sourcePorts))
	binary.BigEndian.PutUint16(data[22:], f.DstPort)
	binary.BigEndian.PutUint16(data[24:], datagramSize-ipHeader)
	if err := unix.Sendto(fd, data[:], 0, &unix.SockaddrInet4{Addr: dst}); err != nil {
		return fmt.Errorf("sending to %s: %w", f.Dst, err)
	}
	return nil
}
