package lab

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/sluicenet/sluice/dataplane/flow"
)

// Server answers on one address and port of a host: over TCP with one byte for
// each connection, over UDP with the datagram that came.
type Server struct {
	closer io.Closer
	served atomic.Uint64
	ended  sync.WaitGroup
}

// Serve starts a server that runs until it or its host is closed. Protocols are
// TCP and UDP.
func (h *Host) Serve(protocol flow.Protocol, at netip.AddrPort) (*Server, error) {
	s := &Server{}
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
		default:
			return fmt.Errorf("no server for protocol %s", protocol)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("serving %s %s on %s: %w", protocol, at, h.name, err)
	}
	s.ended.Go(loop)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.servers = append(h.servers, s)
	return s, nil
}

// Served counts what reached the server: connections or datagrams.
func (s *Server) Served() uint64 { return s.served.Load() }

// Close stops the server. A second Close does nothing.
func (s *Server) Close() {
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
		_, _ = c.Write([]byte{'!'})
		_ = c.Close()
	}
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
