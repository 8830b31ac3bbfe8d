package bench_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// tcpConfig contains the addresses of the client and the server, and the ports of the server. The
// client uses the server ports in turn. A single server port is not sufficient, because each
// connection to this port would need a different source port.
type tcpConfig struct {
	Client, Server   netip.Addr
	FirstPort, Ports uint16
}

// acceptRole accepts connections. It reads one byte from each connection and then closes the
// connection.
func acceptRole(in *json.Decoder, out *json.Encoder) error {
	var config tcpConfig
	if err := in.Decode(&config); err != nil {
		return err
	}
	for i := range config.Ports {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("opening socket: %w", err)
		}
		if err := unix.Bind(fd, sockaddr(config.Server, config.FirstPort+i)); err != nil {
			return fmt.Errorf("binding port %d: %w", config.FirstPort+i, err)
		}
		// Accepted sockets inherit this receive timeout. Without the timeout, an accepted
		// socket could wait for data forever. The reason is that the client's byte can overtake
		// the last packet of the handshake on another processor. The kernel then sometimes
		// resets the client but keeps the server's socket.
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 200000}); err != nil {
			return fmt.Errorf("setting SO_RCVTIMEO: %w", err)
		}
		if err := unix.Listen(fd, 1024); err != nil {
			return fmt.Errorf("listening on port %d: %w", config.FirstPort+i, err)
		}
		go acceptAll(fd)
	}
	if err := out.Encode(struct{}{}); err != nil {
		return err
	}
	return in.Decode(&struct{}{})
}

func acceptAll(listener int) {
	var b [1]byte
	for {
		fd, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC)
		if err != nil {
			continue
		}
		_, _ = unix.Read(fd, b[:])
		_ = unix.Close(fd)
	}
}

// connectRequest requests new connections. If PerSecond is 0, `Parallel` threads open as many
// connections as they can for the duration `For`. If PerSecond is not 0, the process opens `Count`
// connections in total, at a rate of `PerSecond` per second. If For is not 0 either, the process stops
// after this duration.
type connectRequest struct {
	Parallel int
	For      time.Duration

	Count     int
	PerSecond int
}

type connected struct {
	Connections int64
	// Reset is the number of connections that were reset before they were complete.
	Reset int64
	Took  time.Duration
	// Latencies contains the durations of connect(2) in ascending order. It is empty unless the
	// request sets PerSecond.
	Latencies []time.Duration
}

// connectRole opens connections and transfers one byte over each of them. The server closes
// each connection first, and the client then resets it. As a result, neither end keeps a state
// that could affect the next connection between the same ports.
func connectRole(in *json.Decoder, out *json.Encoder) error {
	c := &connector{}
	if err := in.Decode(&c.config); err != nil {
		return err
	}
	if err := out.Encode(struct{}{}); err != nil {
		return err
	}
	for {
		var r connectRequest
		if err := in.Decode(&r); err != nil {
			return err
		}
		made := c.race
		if r.PerSecond > 0 {
			made = c.pace
		}
		answer, err := made(r)
		if err != nil {
			return err
		}
		answer.Reset = c.reset.Swap(0)
		if err := out.Encode(answer); err != nil {
			return err
		}
	}
}

type connector struct {
	config tcpConfig
	number atomic.Int64
	reset  atomic.Int64
}

func (c *connector) race(r connectRequest) (connected, error) {
	var made atomic.Int64
	var threads sync.WaitGroup
	failed := make(chan error, r.Parallel)
	begin := time.Now()
	for range r.Parallel {
		threads.Go(func() {
			for time.Since(begin) < r.For {
				if _, err := c.connect(); err != nil {
					failed <- err
					return
				}
				made.Add(1)
			}
		})
	}
	threads.Wait()
	select {
	case err := <-failed:
		return connected{}, err
	default:
		return connected{Connections: made.Load(), Took: time.Since(begin)}, nil
	}
}

func (c *connector) pace(r connectRequest) (connected, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	begin := time.Now()
	var out connected
	for i := range r.Count {
		if r.For > 0 && time.Since(begin) > r.For {
			break
		}
		waitUntil(begin.Add(time.Duration(i) * time.Second / time.Duration(r.PerSecond)))
		took, err := c.connect()
		if err != nil {
			return out, err
		}
		out.Latencies = append(out.Latencies, took)
	}
	slices.Sort(out.Latencies)
	out.Connections, out.Took = int64(len(out.Latencies)), time.Since(begin)
	return out, nil
}

// connect opens one connection and returns the duration of connect(2).
func (c *connector) connect() (time.Duration, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("opening socket: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	// Make the kernel choose the source port in connect(2) instead of in bind(2), because the
	// destination is known only in connect(2).
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
		return 0, fmt.Errorf("setting IP_BIND_ADDRESS_NO_PORT: %w", err)
	}
	if err := unix.Bind(fd, sockaddr(c.config.Client, 0)); err != nil {
		return 0, fmt.Errorf("binding %s: %w", c.config.Client, err)
	}
	if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
		return 0, fmt.Errorf("setting SO_LINGER: %w", err)
	}
	port := c.config.FirstPort + uint16(c.number.Add(1)%int64(c.config.Ports))
	begin := time.Now()
	if err := unix.Connect(fd, sockaddr(c.config.Server, port)); err != nil {
		return 0, fmt.Errorf("connecting to port %d: %w", port, err)
	}
	took := time.Since(begin)
	b := []byte{1}
	_, err = unix.Write(fd, b)
	if err == nil {
		_, err = unix.Read(fd, b)
	}
	if errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE) {
		c.reset.Add(1)
		return took, nil
	}
	return took, err
}

func sockaddr(a netip.Addr, port uint16) unix.Sockaddr {
	return &unix.SockaddrInet4{Addr: a.As4(), Port: int(port)}
}
