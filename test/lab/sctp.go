package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/sluicenet/sluice/dataplane/flow"
)

// SCTP is spoken as far as its first two packets, by raw sockets, because many
// kernels have no SCTP of their own: a client sends an INIT chunk and a server
// answers with INIT ACK (RFC 9260, 3.3.2 and 3.3.3). Connection tracking and
// every rule see what a real association begins with.
//
//	 0                 2                 4 bytes
//	+-----------------+-----------------+
//	| source port     | destination port|
//	| verification tag                  |  0 in INIT; the client's tag in INIT ACK
//	| checksum, CRC32c                  |
//	+------+----------+-----------------+
//	| type | flags    | length          |  INIT 1, INIT ACK 2
//	| initiate tag                      |
//	| receiver window                   |
//	| streams out     | streams in      |
//	| first TSN                         |
//	+-----------------------------------+
const (
	chunkInit    = 1
	chunkInitAck = 2

	chunkHeader = 12
	initLength  = 20
	initPacket  = chunkHeader + initLength
	// cookieParameter is the state cookie that an INIT ACK has to carry.
	cookieParameter = 7
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// initChunk is what an INIT or INIT ACK says.
type initChunk struct {
	source, destination uint16
	// verification is the receiver's tag, tag the sender's.
	verification, tag uint32
	kind              byte
}

func (c initChunk) packet() []byte {
	length := initLength
	var cookie []byte
	if c.kind == chunkInitAck {
		cookie = binary.BigEndian.AppendUint16(cookie, cookieParameter)
		cookie = binary.BigEndian.AppendUint16(cookie, 8)
		cookie = append(cookie, "lab!"...)
		length += len(cookie)
	}
	b := binary.BigEndian.AppendUint16(nil, c.source)
	b = binary.BigEndian.AppendUint16(b, c.destination)
	b = binary.BigEndian.AppendUint32(b, c.verification)
	b = binary.BigEndian.AppendUint32(b, 0)
	b = append(b, c.kind, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(length))
	b = binary.BigEndian.AppendUint32(b, c.tag)
	b = binary.BigEndian.AppendUint32(b, 1<<16)
	b = binary.BigEndian.AppendUint16(b, 1)
	b = binary.BigEndian.AppendUint16(b, 1)
	b = binary.BigEndian.AppendUint32(b, c.tag)
	b = append(b, cookie...)
	// The checksum is sent with its lowest byte first (RFC 9260, appendix A).
	binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b, castagnoli))
	return b
}

// parseInit reads a packet whose first chunk is INIT or INIT ACK.
func parseInit(b []byte) (initChunk, bool) {
	if len(b) < initPacket || b[chunkHeader] != chunkInit && b[chunkHeader] != chunkInitAck {
		return initChunk{}, false
	}
	return initChunk{
		source:       binary.BigEndian.Uint16(b),
		destination:  binary.BigEndian.Uint16(b[2:]),
		verification: binary.BigEndian.Uint32(b[4:]),
		kind:         b[chunkHeader],
		tag:          binary.BigEndian.Uint32(b[chunkHeader+4:]),
	}, true
}

// probeSCTP sends INIT, again after a while, until INIT ACK comes back.
func (h *Host) probeSCTP(ctx context.Context, src netip.Addr, dst netip.AddrPort, again time.Duration) error {
	conn, err := h.dialRaw(flow.SCTP, src, dst.Addr())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	defer endWith(ctx, conn)()
	ask := initChunk{source: ephemeralPort(), destination: dst.Port(), tag: rand.Uint32() | 1, kind: chunkInit}
	answer := make([]byte, 1<<10)
	for {
		if err := conn.SetReadDeadline(time.Now().Add(again)); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return os.ErrDeadlineExceeded
		}
		if _, err := conn.Write(ask.packet()); err != nil {
			return err
		}
		err := ask.await(conn, answer)
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
}

// ephemeralPort is one that no listener has.
func ephemeralPort() uint16 { return uint16(32768 + rand.IntN(28000)) }

// await reads until the answer comes. A raw socket gets every packet of its
// peer, also what is for others.
func (c initChunk) await(conn net.Conn, buf []byte) error {
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return err
		}
		if a, ok := parseInit(buf[:n]); ok && a.kind == chunkInitAck && a.destination == c.source && a.verification == c.tag {
			return nil
		}
	}
}

// associate answers each INIT for a port with INIT ACK.
func (s *Server) associate(c *net.IPConn, port uint16) {
	buf := make([]byte, 1<<10)
	for {
		n, from, err := c.ReadFromIP(buf)
		if err != nil {
			return
		}
		ask, ok := parseInit(buf[:n])
		if !ok || ask.kind != chunkInit || ask.destination != port {
			continue
		}
		s.served.Add(1)
		answer := initChunk{source: port, destination: ask.source, verification: ask.tag, tag: rand.Uint32() | 1, kind: chunkInitAck}
		_, _ = c.WriteToIP(answer.packet(), from) // Refused like any other packet: the client sees it.
	}
}
