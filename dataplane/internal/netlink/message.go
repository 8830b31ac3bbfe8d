package netlink

import (
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"
)

// ErrMalformed means that a message or an attribute has an impossible length, or that the size
// of a value is wrong for its type.
var ErrMalformed = errors.New("malformed netlink message")

// HeaderSize is the size of struct nlmsghdr in bytes.
const HeaderSize = 16

// Header is struct nlmsghdr without its length field.
type Header struct {
	Type, Flags uint16
	// Sequence is a number that the sender of a request chooses. The kernel copies it to
	// the replies.
	Sequence uint32
	// Port is the port of a socket (nlmsg_pid). In a message from the kernel, it is the port of
	// the socket whose request caused the message.
	Port uint32
}

// Messages is a reader for the messages of one datagram:
//
//	messages := netlink.ReadMessages(datagram)
//	for messages.Next() {
//		use(messages.Header, messages.Payload)
//	}
//	return messages.Err()
type Messages struct {
	// Header and Payload are the header and the payload of the current message.
	Header  Header
	Payload []byte

	rest []byte
	err  error
}

// ReadMessages returns a reader for the messages of a datagram. The reader is positioned before
// the first message.
func ReadMessages(datagram []byte) Messages { return Messages{rest: datagram} }

// Next advances to the next message. It returns false at the end of the datagram and after an
// error. If fewer bytes than a header remain at the end of the datagram, Next ignores them.
func (m *Messages) Next() bool {
	if len(m.rest) < HeaderSize {
		return false
	}
	length := int(binary.NativeEndian.Uint32(m.rest))
	if length < HeaderSize || length > len(m.rest) {
		m.err, m.rest = ErrMalformed, nil
		return false
	}
	m.Header = Header{
		Type:     binary.NativeEndian.Uint16(m.rest[4:]),
		Flags:    binary.NativeEndian.Uint16(m.rest[6:]),
		Sequence: binary.NativeEndian.Uint32(m.rest[8:]),
		Port:     binary.NativeEndian.Uint32(m.rest[12:]),
	}
	m.Payload = m.rest[HeaderSize:length]
	m.rest = m.rest[min(align(length), len(m.rest)):]
	return true
}

// Err returns the error that stopped the reader, or nil.
func (m *Messages) Err() error { return m.err }

// Errno returns the error code in the payload of a message of type NLMSG_ERROR or
// NLMSG_DONE. The code is 0 in an acknowledgement and at the end of a successful dump.
func Errno(payload []byte) unix.Errno {
	if len(payload) < 4 {
		return unix.EBADMSG
	}
	// The kernel sends the error code as a negative number.
	return unix.Errno(-int32(binary.NativeEndian.Uint32(payload)))
}

// Begin appends the header of a message to b. The caller then appends the payload, and
// calls End to set the length in the header and to add the padding.
func Begin(b []byte, h Header) []byte {
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = binary.NativeEndian.AppendUint16(b, h.Type)
	b = binary.NativeEndian.AppendUint16(b, h.Flags)
	b = binary.NativeEndian.AppendUint32(b, h.Sequence)
	return binary.NativeEndian.AppendUint32(b, h.Port)
}

// End completes the message that starts at b[begin]. It sets the length of the message and appends
// the padding.
func End(b []byte, begin int) []byte {
	binary.NativeEndian.PutUint32(b[begin:], uint32(len(b)-begin))
	return pad(b, begin)
}

// NetfilterHeaderSize is the size of struct nfgenmsg in bytes. The payload of every
// netfilter message begins with this struct.
const NetfilterHeaderSize = 4

// AppendNetfilterHeader appends a struct nfgenmsg with resource ID 0 to b. The family is one of
// the constants unix.AF_*.
func AppendNetfilterHeader(b []byte, family uint8) []byte {
	return append(b, family, unix.NFNETLINK_V0, 0, 0)
}

// align rounds up to a multiple of 4.
func align(n int) int { return (n + 3) &^ 3 }

func pad(b []byte, begin int) []byte {
	for (len(b)-begin)%4 != 0 {
		b = append(b, 0)
	}
	return b
}
