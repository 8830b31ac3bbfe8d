package conntrack

import (
	"bytes"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/internal/netlink"
)

// attributesOfConnection returns the attributes that the kernel sends for a TCP connection with mark 0x20.
// The connection is from 10.0.0.1:40000 to 10.96.0.1:80, and DNAT changed this destination to
// 10.0.0.2:8080.
func attributesOfConnection() []byte {
	attr := func(kind uint16, value ...byte) []byte { return netlink.AppendAttribute(nil, kind, value) }
	tuple := func(kind uint16, source, destination, sourcePort, destinationPort []byte) []byte {
		ip := append(attr(attrIP4Source, source...), attr(attrIP4Destination, destination...)...)
		proto := append(attr(attrProtoNumber, unix.IPPROTO_TCP), attr(attrProtoSourcePort, sourcePort...)...)
		proto = append(proto, attr(attrProtoDestinationPort, destinationPort...)...)
		return attr(kind|unix.NLA_F_NESTED, append(attr(attrTupleIP|unix.NLA_F_NESTED, ip...), attr(attrTupleProto|unix.NLA_F_NESTED, proto...)...)...)
	}
	return bytes.Join([][]byte{
		tuple(attrTupleOriginal, []byte{10, 0, 0, 1}, []byte{10, 96, 0, 1}, []byte{0x9c, 0x40}, []byte{0, 80}),
		tuple(attrTupleReply, []byte{10, 0, 0, 2}, []byte{10, 0, 0, 1}, []byte{0x1f, 0x90}, []byte{0x9c, 0x40}),
		attr(attrMark, 0, 0, 0, 0x20),
	}, nil)
}

func TestFlowUsesTheDestinationAfterDNAT(t *testing.T) {
	var e entry
	if err := e.parse(attributesOfConnection()); err != nil {
		t.Fatal(err)
	}
	if got, want := e.flow().String(), "TCP 10.0.0.1:40000 -> 10.0.0.2:8080"; got != want || e.mark != 0x20 {
		t.Errorf("got %s with mark %#x, want %s with mark 0x20", got, e.mark, want)
	}
	whole := attributesOfConnection()
	for cut := range whole {
		if e.parse(whole[:cut]) == nil && e.reply.source.IsValid() && e.mark == 0x20 {
			t.Errorf("cut at byte %d: parsed as if it were complete", cut)
		}
	}
}

func FuzzEntry(f *testing.F) {
	f.Add(attributesOfConnection())
	f.Fuzz(func(t *testing.T, data []byte) {
		var e entry
		if e.parse(data) != nil {
			return
		}
		for _, a := range []netip.Addr{e.original.source, e.reply.source} {
			if a.Zone() != "" {
				t.Errorf("address %s has a zone", a)
			}
		}
		_ = e.flow()
		if update := e.appendMark(nil, 0x60, 0x20); len(update) < netlink.HeaderSize {
			t.Errorf("update of %d bytes", len(update))
		}
	})
}
