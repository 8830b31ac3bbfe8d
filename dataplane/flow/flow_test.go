package flow_test

import (
	"net/netip"
	"testing"

	"github.com/sluicenet/sluice/dataplane/flow"
)

func TestParseProtocolIsTheInverseOfString(t *testing.T) {
	for n := range 256 {
		p := flow.Protocol(n)
		if got, err := flow.ParseProtocol(p.String()); err != nil || got != p {
			t.Errorf("ParseProtocol(%q) = %d, %v; want %d", p, got, err, p)
		}
	}
	for in, want := range map[string]flow.Protocol{"tcp": flow.TCP, "icmpV6": flow.ICMPv6, "132": flow.SCTP} {
		if got, err := flow.ParseProtocol(in); err != nil || got != want {
			t.Errorf("ParseProtocol(%q) = %s, %v; want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"", "HTTP", "256", "-1", "TCP "} {
		if got, err := flow.ParseProtocol(in); err == nil {
			t.Errorf("ParseProtocol(%q) = %s, want an error", in, got)
		}
	}
}

func TestFlowString(t *testing.T) {
	tests := map[string]flow.Flow{
		"TCP 10.0.0.1:40000 -> 10.0.0.2:80": {Src: netip.MustParseAddr("10.0.0.1"), Dst: netip.MustParseAddr("10.0.0.2"), Protocol: flow.TCP, SrcPort: 40000, DstPort: 80},
		"UDP [fd00::1]:53 -> [fd00::2]:53":  {Src: netip.MustParseAddr("fd00::1"), Dst: netip.MustParseAddr("fd00::2"), Protocol: flow.UDP, SrcPort: 53, DstPort: 53},
		"ICMP 10.0.0.1 -> 10.0.0.2":         {Src: netip.MustParseAddr("10.0.0.1"), Dst: netip.MustParseAddr("10.0.0.2"), Protocol: flow.ICMP},
		"47 10.0.0.1 -> 10.0.0.2":           {Src: netip.MustParseAddr("10.0.0.1"), Dst: netip.MustParseAddr("10.0.0.2"), Protocol: 47, DstPort: 9},
	}
	for want, f := range tests {
		if got := f.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
