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

// For SCTP, the lab exchanges only the first two packets of an association, over
// raw sockets, because many kernels do not support SCTP. A client sends an INIT
// chunk, and a server replies with an INIT ACK chunk (RFC 9260, sections 3.3.2 and
// 3.3.3). Connection tracking and rules treat these packets like the start of a
// real association.
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
	// cookieParameter is the type of the state cookie. INIT ACK must contain this parameter.
	cookieParameter = 7
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// initChunk contains the fields of an INIT or INIT ACK chunk.
type initChunk struct {
	source, destination uint16
	// The `tag` field is the tag of the host that sends the chunk. The `verification` field is the
	// tag of the host that receives the chunk, or 0 in INIT.
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
	// Unlike all other fields, the checksum is in little-endian order (RFC 9260, appendix A).
	binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b, castagnoli))
	return b
}

// parseInit parses a packet whose first chunk is INIT or INIT ACK. For any other packet, it
// returns false.
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

// probeSCTP sends INIT repeatedly until an INIT ACK arrives.
func (h *Host) probeSCTP(ctx context.Context, src netip.Addr, dst netip.AddrPort, again time.Duration) error {
	conn, err := h.dialRaw(flow.SCTP, src, dst.Addr())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	defer endWith(ctx, conn)()
	request := initChunk{source: ephemeralPort(), destination: dst.Port(), tag: rand.Uint32() | 1, kind: chunkInit}
	reply := make([]byte, 1<<10)
	for {
		if err := conn.SetReadDeadline(time.Now().Add(again)); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return os.ErrDeadlineExceeded
		}
		if _, err := conn.Write(request.packet()); err != nil {
			return err
		}
		err := request.await(conn, reply)
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
}

// ephemeralPort returns a random port in the ephemeral range. Servers do not use ports in this
// range.
func ephemeralPort() uint16 { return uint16(32768 + rand.IntN(28000)) }

// await reads packets until an INIT ACK arrives that replies to the INIT chunk c. It ignores
// all other packets, because a raw socket also receives packets that the peer sends to other
// sockets.
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

// associate replies with INIT ACK to each INIT for the port.
func (s *Server) associate(c *net.IPConn, port uint16) {
	buf := make([]byte, 1<<10)
	for {
		n, from, err := c.ReadFromIP(buf)
		if err != nil {
			return
		}
		request, ok := parseInit(buf[:n])
		if !ok || request.kind != chunkInit || request.destination != port {
			continue
		}
		s.served.Add(1)
		reply := initChunk{source: port, destination: request.source, verification: request.tag, tag: rand.Uint32() | 1, kind: chunkInitAck}
		_, _ = c.WriteToIP(reply.packet(), from) // Ignore errors: a rule may reject the reply.
	}
}
