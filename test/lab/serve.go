package lab

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/sluicenet/sluice/dataplane/flow"
)

// Server serves one address and port of a host. Over UDP and over protocols without ports, it
// sends each packet back to the sender. Over SCTP, it replies to INIT chunks. Over TCP, it
// sends one byte when a connection opens. Then it sends as many bytes as the client requests
// with Download, until the client closes the connection.
type Server struct {
	closer io.Closer
	// open is a context that is canceled when the server is closed.
	open   context.Context
	cancel context.CancelFunc
	served atomic.Uint64
	ended  sync.WaitGroup
}

// Serve starts a server. The server runs until the caller calls the server's method Close or
// closes the host. ICMP and ICMPv6 need no server, because the kernel replies to echo requests.
func (h *Host) Serve(protocol flow.Protocol, at netip.AddrPort) (*Server, error) {
	s := &Server{}
	s.open, s.cancel = context.WithCancel(context.Background())
	var loop func()
	err := h.Do(func() error {
		switch protocol {
		case flow.TCP:
			l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
			if err != nil {
				return err
			}
			s.closer, loop = l, func() { s.greet(l) }
		case flow.UDP:
			c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
			if err != nil {
				return err
			}
			s.closer, loop = c, func() { s.echo(c) }
		case flow.ICMP, flow.ICMPv6:
			return fmt.Errorf("the kernel replies to %s", protocol)
		default:
			c, err := listenRaw(protocol, at.Addr())
			if err != nil {
				return err
			}
			s.closer, loop = c, func() { s.echoRaw(c) }
			if protocol == flow.SCTP {
				loop = func() { s.associate(c, at.Port()) }
			}
		}
		return nil
	})
	if err != nil {
		s.cancel()
		return nil, fmt.Errorf("serving %s %s on %s: %w", protocol, at, h.name, err)
	}
	s.ended.Go(loop)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.servers = append(h.servers, s)
	return s, nil
}

// Served returns the number of connections or packets that reached the server.
func (s *Server) Served() uint64 { return s.served.Load() }

// Close stops the server. The caller may call it more than once.
func (s *Server) Close() {
	s.cancel()
	_ = s.closer.Close()
	s.ended.Wait()
}

func (s *Server) greet(l *net.TCPListener) {
	for {
		c, err := l.AcceptTCP()
		if err != nil {
			return
		}
		s.served.Add(1)
		s.ended.Go(func() { s.converse(c) })
	}
}

func (s *Server) converse(c *net.TCPConn) {
	stop := context.AfterFunc(s.open, func() { _ = c.Close() })
	defer func() { stop(); _ = c.Close() }()
	if _, err := c.Write([]byte{'!'}); err != nil {
		return
	}
	chunk := make([]byte, chunkSize)
	var request [8]byte
	for {
		if _, err := io.ReadFull(c, request[:]); err != nil {
			return
		}
		for left := binary.BigEndian.Uint64(request[:]); left > 0; {
			n, err := c.Write(chunk[:min(left, chunkSize)])
			if err != nil {
				return
			}
			left -= uint64(n)
		}
	}
}

const chunkSize = 64 << 10

// Download requests the given number of bytes from a Server over a TCP connection and reads
// these bytes. Before the call, the caller must have read the first byte that the server sends,
// and must have set the deadlines of the connection.
func Download(conn net.Conn, bytes uint64) error {
	if _, err := conn.Write(binary.BigEndian.AppendUint64(nil, bytes)); err != nil {
		return fmt.Errorf("requesting %d bytes: %w", bytes, err)
	}
	if _, err := io.CopyN(io.Discard, conn, int64(bytes)); err != nil {
		return fmt.Errorf("reading %d bytes: %w", bytes, err)
	}
	return nil
}

func (s *Server) echo(c *net.UDPConn) {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := c.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		s.served.Add(1)
		_, _ = c.WriteToUDPAddrPort(buf[:n], from)
	}
}
