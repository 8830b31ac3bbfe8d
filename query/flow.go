package query

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/sluicenet/sluice/dataplane/flow"
)

// ParseFlow parses a flow from a JSON object with the fields src, dst, protocol and
// port. It ignores other fields.
func ParseFlow(line []byte) (flow.Flow, error) {
	var in struct {
		Src      string          `json:"src"`
		Dst      string          `json:"dst"`
		Protocol json.RawMessage `json:"protocol"`
		Port     *int            `json:"port"`
	}
	if err := json.Unmarshal(line, &in); err != nil {
		return flow.Flow{}, flowSyntax(err)
	}
	src, err := parseFlowAddress("src", in.Src)
	if err != nil {
		return flow.Flow{}, err
	}
	dst, err := parseFlowAddress("dst", in.Dst)
	if err != nil {
		return flow.Flow{}, err
	}
	if len(in.Protocol) == 0 {
		return flow.Flow{}, errors.New("protocol: missing; want TCP, UDP, SCTP, ICMP or a number")
	}
	protocol, err := flow.ParseProtocol(string(bytes.Trim(in.Protocol, `"`)))
	if err != nil {
		return flow.Flow{}, err
	}
	if in.Port == nil {
		return newFlow(src, dst, protocol, noPort)
	}
	if *in.Port < 0 || *in.Port > 65535 {
		return flow.Flow{}, fmt.Errorf("port: %d is not a port; want 0 to 65535", *in.Port)
	}
	return newFlow(src, dst, protocol, *in.Port)
}

// noPort is the port number of a flow whose port was not specified.
const noPort = -1

// newFlow returns a flow. If the addresses belong to different families, or if the protocol
// has ports but no port was specified, newFlow returns an error. It replaces ICMP with ICMPv6
// between IPv6 addresses, and ICMPv6 with ICMP between IPv4 addresses.
func newFlow(src, dst netip.Addr, protocol flow.Protocol, port int) (flow.Flow, error) {
	if src.Is4() != dst.Is4() {
		return flow.Flow{}, fmt.Errorf("src %s and dst %s: one is IPv4 and the other IPv6; a flow has one family", src, dst)
	}
	switch {
	case protocol == flow.ICMP && src.Is6():
		protocol = flow.ICMPv6
	case protocol == flow.ICMPv6 && src.Is4():
		protocol = flow.ICMP
	}
	f := flow.Flow{Src: src, Dst: dst, Protocol: protocol}
	if protocol.HasPorts() {
		if port == noPort {
			return flow.Flow{}, fmt.Errorf("port: missing; %s needs the destination port", protocol)
		}
		f.DstPort = uint16(port)
	}
	return f, nil
}

func parseFlowAddress(field, text string) (netip.Addr, error) {
	if text == "" {
		return netip.Addr{}, fmt.Errorf("%s: missing; want an IP address", field)
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("%s: %q is not an IP address", field, text)
	}
	if addr.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("%s: %q has a zone; write the address without %%%s", field, text, addr.Zone())
	}
	return addr, nil
}

// flowSyntax adds an example of a valid flow to the error for an invalid line.
func flowSyntax(err error) error {
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) {
		is := strings.Replace(wrongType.Value, "array", "list", 1)
		switch wrongType.Field {
		case "":
			err = fmt.Errorf("is a %s", is)
		case "port":
			return fmt.Errorf("port: is a %s, must be a whole number", is)
		default:
			return fmt.Errorf("%s: is a %s, must be a string", wrongType.Field, is)
		}
	}
	return fmt.Errorf(`not a flow: %w; want {"src":"10.0.0.1","dst":"10.0.0.2","protocol":"TCP","port":80}`, err)
}

// Target is the protocol and destination port of the flows in a question.
type Target struct {
	// Port is a port number, or the name of a container port of the destination pod. If the
	// protocol has no ports, Port is ignored.
	Port string
	// Protocol is the protocol TCP, UDP, SCTP or ICMP, or an IP protocol number.
	Protocol string
}

// flow returns the flow between two ends with this protocol and port.
func (t *Target) flow(from, to *End) (flow.Flow, error) {
	protocol, port, err := t.parse(to)
	if err != nil {
		return flow.Flow{}, err
	}
	f, err := newFlow(from.Address, to.Address, protocol, port)
	if err != nil {
		return flow.Flow{}, inputErrorf("", "", "%s", err)
	}
	return f, nil
}

// parse returns the protocol and the port number. If the protocol has no ports, the port number is
// noPort. The `to` parameter is the destination. A port name is looked up in the container ports of
// the destination. If `to` is nil, a port name is an error.
func (t *Target) parse(to *End) (flow.Protocol, int, error) {
	protocol, err := flow.ParseProtocol(t.Protocol)
	if err != nil {
		return 0, noPort, inputErrorf("", "", "%s", err)
	}
	if !protocol.HasPorts() {
		return protocol, noPort, nil
	}
	if t.Port == "" {
		return 0, noPort, inputErrorf("port", "", "%s needs the destination port", protocol)
	}
	if n, err := strconv.ParseUint(t.Port, 10, 16); err == nil {
		return protocol, int(n), nil
	}
	port, err := t.named(to, protocol)
	return protocol, port, err
}

// named returns the number of the destination's container port with the name t.Port.
func (t *Target) named(to *End, protocol flow.Protocol) (int, error) {
	if to == nil || len(to.ports) == 0 {
		return noPort, inputErrorf("port", t.Port, "want a number from 0 to 65535")
	}
	if number := to.ports.Number(protocol, t.Port); number != 0 {
		return int(number), nil
	}
	var names []string
	for _, p := range to.ports {
		names = append(names, p.Name)
	}
	return noPort, inputErrorf("port", t.Port, "want 0 to 65535, or the name of a port of %s: %s", to, few(names))
}
