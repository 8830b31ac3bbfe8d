package netlink

import "encoding/binary"

// attributeHeaderSize is the size of struct nlattr in bytes.
const attributeHeaderSize = 4

// typeMask selects the bits of an attribute type without the two flag bits NLA_F_NESTED and
// NLA_F_NET_BYTEORDER.
const typeMask = 0x3fff

// Attributes is a reader for a list of attributes:
//
//	attributes := netlink.ReadAttributes(payload)
//	for attributes.Next() {
//		switch attributes.Type {
//		case typeMark:
//			mark = attributes.Uint32()
//		}
//	}
//	return attributes.Err()
type Attributes struct {
	// Type is the type of the current attribute without the flags NLA_F_NESTED and
	// NLA_F_NET_BYTEORDER.
	Type uint16
	// Value is the value of the current attribute. Raw contains the whole attribute: the
	// header, the value and the padding.
	Value, Raw []byte

	rest []byte
	err  error
}

// ReadAttributes returns a reader for a list of attributes. The reader is positioned before the
// first attribute.
func ReadAttributes(list []byte) Attributes { return Attributes{rest: list} }

// Next advances to the next attribute. It returns false at the end of the list and after
// an error.
func (a *Attributes) Next() bool {
	if len(a.rest) == 0 {
		return false
	}
	if len(a.rest) < attributeHeaderSize {
		a.Fail(ErrMalformed)
		return false
	}
	length := int(binary.NativeEndian.Uint16(a.rest))
	if length < attributeHeaderSize || length > len(a.rest) {
		a.Fail(ErrMalformed)
		return false
	}
	a.Type = binary.NativeEndian.Uint16(a.rest[2:]) & typeMask
	a.Value = a.rest[attributeHeaderSize:length]
	end := min(align(length), len(a.rest))
	a.Raw, a.rest = a.rest[:end], a.rest[end:]
	return true
}

// Err returns the error that stopped the reader, or nil.
func (a *Attributes) Err() error { return a.err }

// Fail stops the reader and sets the error that Err returns. Call it, for example, after an
// error in a nested list. If err is nil, Fail does nothing.
func (a *Attributes) Fail(err error) {
	if err != nil {
		a.err, a.rest = err, nil
	}
}

// Uint8 returns the value of the current attribute. If the value is not one byte long, Uint8
// stops the reader with ErrMalformed and returns 0.
func (a *Attributes) Uint8() uint8 {
	if !a.hasSize(1) {
		return 0
	}
	return a.Value[0]
}

// Uint16 returns the value of the current attribute, which must be in network byte order. If
// the value is not 2 bytes long, Uint16 stops the reader with ErrMalformed and returns 0.
func (a *Attributes) Uint16() uint16 {
	if !a.hasSize(2) {
		return 0
	}
	return binary.BigEndian.Uint16(a.Value)
}

// Uint32 returns the value of the current attribute, which must be in network byte order. If
// the value is not 4 bytes long, Uint32 stops the reader with ErrMalformed and returns 0.
func (a *Attributes) Uint32() uint32 {
	if !a.hasSize(4) {
		return 0
	}
	return binary.BigEndian.Uint32(a.Value)
}

func (a *Attributes) hasSize(size int) bool {
	if len(a.Value) != size {
		a.Fail(ErrMalformed)
		return false
	}
	return true
}

// AppendAttribute appends an attribute of the given type and its padding to b.
func AppendAttribute(b []byte, kind uint16, value []byte) []byte {
	begin := len(b)
	b = binary.NativeEndian.AppendUint16(b, uint16(attributeHeaderSize+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	return pad(append(b, value...), begin)
}

// AppendUint32 appends an attribute of the given type to b. Its value is v in network byte order.
func AppendUint32(b []byte, kind uint16, v uint32) []byte {
	b = binary.NativeEndian.AppendUint16(b, attributeHeaderSize+4)
	b = binary.NativeEndian.AppendUint16(b, kind)
	return binary.BigEndian.AppendUint32(b, v)
}
