package read

import (
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/network-policy-api/apis/v1beta1"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/internal/field"
)

// protocols reads the list `protocols` of the rule at a path. A rule without the list matches every
// port of every protocol.
func (r *clusterPolicyReader) protocols(rule string, in any) (out []policy.Port, understood bool) {
	if in == nil {
		return nil, true
	}
	entries, _ := in.([]any)
	if len(entries) == 0 {
		r.errors.Add(rule+".protocols", "the list is empty: write at least one entry, or leave out the list to match every protocol")
		return nil, false
	}
	understood = true
	for i, entry := range entries {
		ports, ok := r.protocol(field.Path{Parent: rule, List: "protocols", Index: i}, entry)
		understood = understood && ok
		for _, port := range ports {
			port.Entry = i
			out = append(out, port)
		}
	}
	return out, understood
}

// protocol reads an entry of the list `protocols`. If the entry contains a port name, the result
// contains one port for each protocol that has ports.
func (r *clusterPolicyReader) protocol(at field.Path, in any) (out []policy.Port, understood bool) {
	var entry v1beta1.ClusterNetworkPolicyProtocol
	if !r.decode(at, in, &entry) {
		return nil, false
	}
	switch set := countSet(entry.TCP != nil, entry.UDP != nil, entry.SCTP != nil, entry.DestinationNamedPort != ""); {
	case set == 0:
		r.errors.Add(at.String(), "the entry has none of the supported fields: set one of tcp, udp, sctp and destinationNamedPort")
		return nil, false
	case set > 1:
		r.errors.Add(at.String(), "the entry has several fields: write one entry for each field")
		return nil, false
	case entry.TCP != nil:
		return r.destinationPort(at.Child("tcp.destinationPort"), flow.TCP, entry.TCP.DestinationPort)
	case entry.UDP != nil:
		return r.destinationPort(at.Child("udp.destinationPort"), flow.UDP, entry.UDP.DestinationPort)
	case entry.SCTP != nil:
		return r.destinationPort(at.Child("sctp.destinationPort"), flow.SCTP, entry.SCTP.DestinationPort)
	}
	name := entry.DestinationNamedPort
	if faults := validation.IsValidPortName(name); len(faults) > 0 {
		r.errors.Add(at.Child("destinationNamedPort").String(), "%q is not a port name: %s", name, strings.Join(faults, "; "))
		return nil, false
	}
	return []policy.Port{{Protocol: flow.TCP, Name: name}, {Protocol: flow.UDP, Name: name}, {Protocol: flow.SCTP, Name: name}}, true
}

// destinationPort converts the port number or the port range of an entry. An entry without ports
// cannot be understood. The entry may have had a field that the requested version of the API does
// not have, and the API server removes such fields.
func (r *clusterPolicyReader) destinationPort(at field.Path, protocol flow.Protocol, in *v1beta1.Port) (out []policy.Port, understood bool) {
	if in == nil {
		r.errors.Add(at.String(), "the field is missing: write {range: {start: 1, end: 65535}} for every port")
		return nil, false
	}
	first, last := in.Number, in.Number
	if in.Range != nil {
		first, last = in.Range.Start, in.Range.End
	}
	switch {
	case (in.Number != 0) == (in.Range != nil):
		r.errors.Add(at.String(), "want exactly one of number and range")
	case first < 1 || first > 65535:
		r.errors.Add(at.String(), "%d is not a port: want 1 to 65535", first)
	case last < first || last > 65535:
		r.errors.Add(at.Child("range.end").String(), "%d: want %d (the start) to 65535", last, first)
	default:
		return []policy.Port{{Protocol: protocol, First: uint16(first), Last: uint16(last)}}, true
	}
	return nil, false
}
