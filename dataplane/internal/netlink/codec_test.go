package netlink_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	mdlayher "github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/internal/netlink"
)

type message struct {
	Header  netlink.Header
	Payload string
}

func readMessages(datagram []byte) (out []message, err error) {
	messages := netlink.ReadMessages(datagram)
	for messages.Next() {
		out = append(out, message{messages.Header, string(messages.Payload)})
	}
	return out, messages.Err()
}

func TestMessagesAreReadAsTheyWereWritten(t *testing.T) {
	want := []message{
		{netlink.Header{Type: 1, Flags: 2, Sequence: 3, Port: 4}, "odd"},
		{netlink.Header{Type: 0xffff, Flags: 0xfffe, Sequence: 1<<32 - 1, Port: 1 << 31}, ""},
		{netlink.Header{Type: 5}, "even"},
	}
	var b []byte
	for _, m := range want {
		begin := len(b)
		b = netlink.Begin(b, m.Header)
		b = netlink.End(append(b, m.Payload...), begin)
	}
	got, err := readMessages(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Another netlink implementation can read the messages that this package encodes. This package
// can read the messages that the other implementation encodes.
func TestMessageIsThatOfAnotherImplementation(t *testing.T) {
	other := mdlayher.Message{
		Header: mdlayher.Header{Length: 20, Type: 3 << 8, Flags: mdlayher.Request, Sequence: 7, PID: 9},
		Data:   []byte{1, 2, 3, 4},
	}
	want, err := other.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	got := netlink.Begin(nil, netlink.Header{Type: 3 << 8, Flags: unix.NLM_F_REQUEST, Sequence: 7, Port: 9})
	got = netlink.End(append(got, 1, 2, 3, 4), 0)
	if !bytes.Equal(got, want) {
		t.Errorf("message % x, want % x", got, want)
	}
	attributes, err := mdlayher.MarshalAttributes([]mdlayher.Attribute{{Type: 1, Data: []byte("abc")}, {Type: 2, Data: []byte{0, 0, 0, 5}}})
	if err != nil {
		t.Fatal(err)
	}
	if got := netlink.AppendUint32(netlink.AppendAttribute(nil, 1, []byte("abc")), 2, 5); !bytes.Equal(got, attributes) {
		t.Errorf("attributes % x, want % x", got, attributes)
	}
}

func TestMalformedMessages(t *testing.T) {
	whole := netlink.End(netlink.Begin(nil, netlink.Header{Type: 1}), 0)
	withLength := func(length uint32) []byte {
		b := bytes.Clone(whole)
		binary.NativeEndian.PutUint32(b, length)
		return b
	}
	for name, test := range map[string]struct {
		datagram []byte
		want     int
		err      error
	}{
		"empty datagram":                     {nil, 0, nil},
		"one message":                        {whole, 1, nil},
		"two messages":                       {append(bytes.Clone(whole), whole...), 2, nil},
		"half a header":                      {whole[:9], 0, nil},
		"half a header after a message":      {append(bytes.Clone(whole), whole[:9]...), 1, nil},
		"length 0":                           {withLength(0), 0, netlink.ErrMalformed},
		"length beyond the datagram":         {withLength(netlink.HeaderSize + 1), 0, netlink.ErrMalformed},
		"largest length":                     {withLength(1<<32 - 1), 0, netlink.ErrMalformed},
		"padding of the last one is missing": {append(withLength(netlink.HeaderSize+1), 1), 1, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := readMessages(test.datagram)
			if len(got) != test.want || !errors.Is(err, test.err) {
				t.Errorf("%d messages, %v; want %d, %v", len(got), err, test.want, test.err)
			}
		})
	}
}

func TestMalformedAttributes(t *testing.T) {
	whole := netlink.AppendAttribute(nil, 1, []byte("value"))
	for name, list := range map[string][]byte{
		"part of a header":           {5, 0, 1},
		"length 0":                   {0, 0, 1, 0},
		"length beyond the list":     {9, 0, 1, 0, 'v'},
		"part of a header after one": append(bytes.Clone(whole), 5),
	} {
		t.Run(name, func(t *testing.T) {
			attributes := netlink.ReadAttributes(list)
			for attributes.Next() {
				if got := string(attributes.Value); got != "value" {
					t.Errorf("value %q", got)
				}
			}
			if err := attributes.Err(); !errors.Is(err, netlink.ErrMalformed) {
				t.Errorf("error %v, want %v", err, netlink.ErrMalformed)
			}
		})
	}
}

func TestNumbersOfAttributes(t *testing.T) {
	list := netlink.AppendAttribute(nil, 1, []byte{7})
	list = netlink.AppendAttribute(list, 2|unix.NLA_F_NET_BYTEORDER, []byte{1, 2})
	list = netlink.AppendUint32(list, 3|unix.NLA_F_NESTED, 0x01020304)
	attributes := netlink.ReadAttributes(list)
	var got [4]uint32
	for attributes.Next() {
		switch attributes.Type {
		case 1:
			got[1] = uint32(attributes.Uint8())
		case 2:
			got[2] = uint32(attributes.Uint16())
		case 3:
			got[3] = attributes.Uint32()
		}
	}
	if want := [4]uint32{0, 7, 0x0102, 0x01020304}; got != want || attributes.Err() != nil {
		t.Errorf("%#x, %v; want %#x", got, attributes.Err(), want)
	}
	t.Run("of another size", func(t *testing.T) {
		for name, read := range map[string]func(*netlink.Attributes){
			"Uint8":  func(a *netlink.Attributes) { a.Uint8() },
			"Uint16": func(a *netlink.Attributes) { a.Uint16() },
			"Uint32": func(a *netlink.Attributes) { a.Uint32() },
		} {
			attributes := netlink.ReadAttributes(netlink.AppendAttribute(nil, 1, []byte{1, 2, 3}))
			attributes.Next()
			read(&attributes)
			if attributes.Next() || !errors.Is(attributes.Err(), netlink.ErrMalformed) {
				t.Errorf("%s of three bytes: error %v, want %v", name, attributes.Err(), netlink.ErrMalformed)
			}
		}
	})
}

func TestFailEndsTheReading(t *testing.T) {
	other := errors.New("nested")
	list := netlink.AppendUint32(netlink.AppendUint32(nil, 1, 1), 2, 2)
	attributes := netlink.ReadAttributes(list)
	attributes.Next()
	attributes.Fail(nil)
	if !attributes.Next() {
		t.Fatal("Fail(nil) ended the reading")
	}
	attributes.Fail(other)
	if attributes.Next() || !errors.Is(attributes.Err(), other) {
		t.Errorf("error %v, want %v", attributes.Err(), other)
	}
}

func TestErrno(t *testing.T) {
	minus := binary.NativeEndian.AppendUint32(nil, ^uint32(unix.ENOENT)+1)
	for _, test := range []struct {
		payload []byte
		want    unix.Errno
	}{{minus, unix.ENOENT}, {make([]byte, 4), 0}, {minus[:3], unix.EBADMSG}} {
		if got := netlink.Errno(test.payload); got != test.want {
			t.Errorf("Errno(% x) = %v, want %v", test.payload, got, test.want)
		}
	}
}

func TestReadingAllocatesNothing(t *testing.T) {
	datagram := netlink.Begin(nil, netlink.Header{Type: 1})
	datagram = netlink.End(netlink.AppendUint32(datagram, 1, 2), 0)
	sum := uint32(0)
	n := testing.AllocsPerRun(100, func() {
		messages := netlink.ReadMessages(datagram)
		for messages.Next() {
			attributes := netlink.ReadAttributes(messages.Payload)
			for attributes.Next() {
				sum += attributes.Uint32()
			}
		}
	})
	if n != 0 {
		t.Errorf("%v allocations for each datagram, want none", n)
	}
}

const attributeHeader = 4 // The size of struct nlattr.

// For any input, no message or attribute extends beyond the end of the input. Each message and
// each attribute is at least as long as its header, so reading always ends.
func FuzzRead(f *testing.F) {
	valid := netlink.Begin(nil, netlink.Header{Type: 1})
	valid = netlink.End(netlink.AppendAttribute(netlink.AppendUint32(valid, 1, 2), 3, []byte("abc")), 0)
	f.Add(append(bytes.Clone(valid), valid...))
	f.Fuzz(func(t *testing.T, datagram []byte) {
		size := 0
		messages := netlink.ReadMessages(datagram)
		for messages.Next() {
			size += netlink.HeaderSize + len(messages.Payload)
			inner := 0
			attributes := netlink.ReadAttributes(messages.Payload)
			for attributes.Next() {
				inner += attributeHeader + len(attributes.Value)
				if len(attributes.Raw) < attributeHeader+len(attributes.Value) {
					t.Errorf("attribute of %d bytes with a value of %d", len(attributes.Raw), len(attributes.Value))
				}
				attributes.Uint32()
			}
			if inner > len(messages.Payload) {
				t.Errorf("attributes of %d bytes in a payload of %d", inner, len(messages.Payload))
			}
		}
		if size > len(datagram) {
			t.Errorf("messages of %d bytes in a datagram of %d", size, len(datagram))
		}
	})
}
