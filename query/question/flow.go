package question

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/query/internal/phrase"
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
		return NewFlow(src, dst, protocol, NoPort)
	}
	if *in.Port < 0 || *in.Port > 65535 {
		return flow.Flow{}, fmt.Errorf("port: %d is not a port; want 0 to 65535", *in.Port)
	}
	return NewFlow(src, dst, protocol, *in.Port)
}

// NoPort is the port number of a flow whose port was not specified.
const NoPort = -1

// NewFlow returns a flow. If the addresses belong to different families, or if the protocol
// has ports but no port was specified, NewFlow returns an error. It replaces ICMP with ICMPv6
// between IPv6 addresses, and ICMPv6 with ICMP between IPv4 addresses.
func NewFlow(src, dst netip.Addr, protocol flow.Protocol, port int) (flow.Flow, error) {
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
		if port == NoPort {
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
	// protocol has no ports, Port is ignored. Port can end with a protocol, as in 53/UDP.
	Port string
	// Protocol is the protocol TCP, UDP, SCTP or ICMP, or an IP protocol number. If Port contains a
	// protocol, Protocol must be TCP or the same protocol.
	Protocol string
}

// Split returns the protocol and the text of the port without the protocol.
func (t *Target) Split() (flow.Protocol, string, error) {
	port, suffix, given := strings.Cut(t.Port, "/")
	protocol, err := flow.ParseProtocol(t.Protocol)
	if err != nil {
		return 0, "", Errorf("", "", "%s", err)
	}
	if !given {
		return protocol, port, nil
	}
	ofPort, err := flow.ParseProtocol(strings.ToUpper(suffix))
	switch {
	case err != nil:
		return 0, "", Errorf("port", t.Port, "%s", err)
	case protocol != flow.TCP && protocol != ofPort:
		return 0, "", Errorf("port", t.Port, "--protocol is %s; give the protocol only once", protocol)
	}
	return ofPort, port, nil
}

// Destination is the destination of a flow for which a port is looked up.
type Destination struct {
	// Name is the name of the destination for messages.
	Name string
	// Ports contains the named ports of the destination.
	Ports policy.ContainerPorts
}

// Flow returns the flow between two addresses with this protocol and port.
func (t *Target) Flow(src, dst netip.Addr, to *Destination) (flow.Flow, error) {
	protocol, port, err := t.Parse(to)
	if err != nil {
		return flow.Flow{}, err
	}
	f, err := NewFlow(src, dst, protocol, port)
	if err != nil {
		return flow.Flow{}, Errorf("", "", "%s", err)
	}
	return f, nil
}

// Parse returns the protocol and the port number. If the protocol has no ports, the port number
// is NoPort. If the port is a name, Parse looks it up in the container ports of the
// destination, which is the parameter `to`. If `to` is nil, a port name is an error.
func (t *Target) Parse(to *Destination) (flow.Protocol, int, error) {
	protocol, text, err := t.Split()
	switch {
	case err != nil:
		return 0, NoPort, err
	case !protocol.HasPorts():
		return protocol, NoPort, nil
	case text == "":
		return 0, NoPort, Errorf("port", t.Port, "%s needs the destination port", protocol)
	}
	if n, err := strconv.ParseUint(text, 10, 16); err == nil {
		return protocol, int(n), nil
	}
	port, err := named(to, protocol, text)
	return protocol, port, err
}

// The function `named` returns the number of the destination's container port with a name.
func named(to *Destination, protocol flow.Protocol, name string) (int, error) {
	if to == nil || len(to.Ports) == 0 {
		return NoPort, Errorf("port", name, "want a number from 0 to 65535")
	}
	if number := to.Ports.Number(protocol, name); number != 0 {
		return int(number), nil
	}
	var names []string
	for _, p := range to.Ports {
		names = append(names, p.Name)
	}
	return NoPort, Errorf("port", name, "want 0 to 65535, or the name of a port of %s: %s", to.Name, phrase.Few(names))
}
