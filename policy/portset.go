package policy

import (
	"encoding/binary"
	"iter"
	"slices"
	"unique"

	"github.com/sluicenet/sluice/dataplane/flow"
)

// PortSet is an immutable set of port numbers, each with a protocol. Sets with the same ports are
// equal with ==. They also share memory, because all pods of a Deployment declare the same ports.
// The zero value is the empty set.
type PortSet struct {
	// ports contains portSize bytes for each port, in ascending order: the protocol, followed by the
	// number in network byte order.
	ports unique.Handle[string]
}

// portSize is the number of bytes of an encoded port.
const portSize = 3

// PortSetOf returns a set of ports. It ignores the names of the ports.
func PortSetOf(ports ...ContainerPort) PortSet {
	if len(ports) == 0 {
		return PortSet{}
	}
	all := make([][portSize]byte, len(ports))
	for i, p := range ports {
		all[i] = encodePort(p.Protocol, p.Number)
	}
	slices.SortFunc(all, func(a, b [portSize]byte) int { return slices.Compare(a[:], b[:]) })
	var encoded []byte
	for _, p := range slices.Compact(all) {
		encoded = append(encoded, p[:]...)
	}
	return PortSet{unique.Make(string(encoded))}
}

func encodePort(protocol flow.Protocol, number uint16) (out [portSize]byte) {
	out[0] = byte(protocol)
	binary.BigEndian.PutUint16(out[1:], number)
	return out
}

// All returns an iterator over the protocols and numbers of the ports, in ascending order.
func (s PortSet) All() iter.Seq2[flow.Protocol, uint16] {
	return func(yield func(flow.Protocol, uint16) bool) {
		if s.Empty() {
			return
		}
		for rest := s.ports.Value(); rest != ""; rest = rest[portSize:] {
			if !yield(flow.Protocol(rest[0]), uint16(rest[1])<<8|uint16(rest[2])) {
				return
			}
		}
	}
}

// Empty reports whether the set contains no port.
func (s PortSet) Empty() bool { return s == PortSet{} }

// ContainsAny reports whether an entry of a rule matches a port in the set. It returns false if the
// entry contains a port name instead of numbers.
func (s PortSet) ContainsAny(entry *Port) bool {
	for protocol, number := range s.All() {
		if protocol == entry.Protocol && entry.Contains(number) {
			return true
		}
	}
	return false
}
