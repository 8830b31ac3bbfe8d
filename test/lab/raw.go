package lab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/sluicenet/sluice/dataplane/flow"
)

// rawConn is a raw socket (raw(7)) that is connected to an address. The program sends and
// receives packets without an IP header. The socket reports ICMP errors.
type rawConn struct{ *net.IPConn }

// Read reads one packet and returns its content without the IP header. The buffer must be large
// enough for the content and the header.
func (c rawConn) Read(b []byte) (int, error) {
	// Use ReadFromIP, because it removes the IP header. The method Read of net.IPConn
	// does not.
	n, _, err := c.ReadFromIP(b)
	return n, err
}

// dialRaw opens a raw socket and connects it to dst. If src is not valid, the kernel chooses
// the source address.
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

// In protocols without ports, the first byte of a packet marks the packet as a request or as a
// reply. This is necessary because every raw socket of a host receives all packets of the
// protocol, including replies. Without the marks, two hosts with servers would reply to each
// other's replies.
const (
	request = '?'
	reply   = '!'
)

// requester is a rawConn that sends requests and receives replies.
type requester struct{ rawConn }

// Read returns the content of the next reply. It discards all other packets.
func (c requester) Read(b []byte) (int, error) {
	buf := make([]byte, 1<<11)
	for {
		n, err := c.rawConn.Read(buf)
		if err != nil {
			return 0, err
		}
		if n > 0 && buf[0] == reply {
			return copy(b, buf[1:n]), nil
		}
	}
}

// Write sends one request.
func (c requester) Write(b []byte) (int, error) {
	if _, err := c.rawConn.Write(append([]byte{request}, b...)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// SendRaw sends one packet and does not wait for a reply. The packet consists of the content
// and an IP header that the kernel adds.
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

// probeRaw sends a number to a server of a protocol without ports, and waits until the server
// has sent the same number back.
func (h *Host) probeRaw(ctx context.Context, protocol flow.Protocol, src, dst netip.Addr, again time.Duration) error {
	conn, err := h.dialRaw(protocol, src, dst)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	defer endWith(ctx, conn)()
	return exchange(ctx, requester{conn}, again)
}

// echoRaw replies to each request with the content of the request.
func (s *Server) echoRaw(c *net.IPConn) {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := c.ReadFromIP(buf)
		if err != nil {
			return
		}
		if n == 0 || buf[0] != request {
			continue
		}
		s.served.Add(1)
		buf[0] = reply
		// Ignore the error: a rule can reject the reply, and the client then receives no reply.
		_, _ = c.WriteToIP(buf[:n], from)
	}
}
