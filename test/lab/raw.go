package lab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/sluicenet/sluice/dataplane/flow"
)

// rawConn is a raw socket (raw(7)) that is connected to an address: it sends
// and receives what stands behind the IP header, and hears of ICMP errors.
type rawConn struct{ *net.IPConn }

// Read reads one packet without its IP header, for which b needs room, too.
func (c rawConn) Read(b []byte) (int, error) {
	// Of the two ways to read from a net.IPConn, this one strips the header.
	n, _, err := c.ReadFromIP(b)
	return n, err
}

// dialRaw connects a raw socket. The source address is the kernel's choice
// unless src is valid.
func (h *Host) dialRaw(protocol flow.Protocol, src, dst netip.Addr) (rawConn, error) {
	var local *net.IPAddr
	if src.IsValid() {
		local = &net.IPAddr{IP: src.AsSlice()}
	}
	var conn *net.IPConn
	err := h.Do(func() (err error) {
		conn, err = net.DialIP(rawNetwork(protocol, dst), local, &net.IPAddr{IP: dst.AsSlice()})
		return err
	})
	return rawConn{conn}, err
}

func listenRaw(protocol flow.Protocol, at netip.Addr) (*net.IPConn, error) {
	return net.ListenIP(rawNetwork(protocol, at), &net.IPAddr{IP: at.AsSlice()})
}

func rawNetwork(protocol flow.Protocol, like netip.Addr) string {
	if like.Is4() {
		return fmt.Sprintf("ip4:%d", uint8(protocol))
	}
	return fmt.Sprintf("ip6:%d", uint8(protocol))
}

// A protocol without ports cannot tell clients from servers. The first byte
// does, so that two hosts that both serve do not answer each other's answers.
const (
	question = '?'
	answer   = '!'
)

// asking is a rawConn that sends questions and receives answers.
type asking struct{ rawConn }

// Read skips what is no answer.
func (c asking) Read(b []byte) (int, error) {
	buf := make([]byte, 1<<11)
	for {
		n, err := c.rawConn.Read(buf)
		if err != nil {
			return 0, err
		}
		if n > 0 && buf[0] == answer {
			return copy(b, buf[1:n]), nil
		}
	}
}

// Write sends one question.
func (c asking) Write(b []byte) (int, error) {
	if _, err := c.rawConn.Write(append([]byte{question}, b...)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// SendRaw sends one packet with the given content behind the IP header, and
// waits for nothing.
func (h *Host) SendRaw(protocol flow.Protocol, dst netip.Addr, content []byte) error {
	conn, err := h.dialRaw(protocol, netip.Addr{}, dst)
	if err != nil {
		return fmt.Errorf("sending protocol %s from %s: %w", protocol, h.name, err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write(content); err != nil {
		return fmt.Errorf("sending protocol %s from %s: %w", protocol, h.name, err)
	}
	return nil
}

// probeRaw exchanges a number with a server of a protocol that has no ports.
func (h *Host) probeRaw(ctx context.Context, protocol flow.Protocol, src, dst netip.Addr, again time.Duration) error {
	conn, err := h.dialRaw(protocol, src, dst)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	defer endWith(ctx, conn)()
	return exchange(ctx, asking{conn}, again)
}

// echoRaw answers each question with what it says.
func (s *Server) echoRaw(c *net.IPConn) {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := c.ReadFromIP(buf)
		if err != nil {
			return
		}
		if n == 0 || buf[0] != question {
			continue
		}
		s.served.Add(1)
		buf[0] = answer
		_, _ = c.WriteToIP(buf[:n], from) // Refused like any other packet: the client sees it.
	}
}
