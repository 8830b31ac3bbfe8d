package netpol_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// TestPorts tests which protocols and ports a rule matches.
func TestPorts(t *testing.T) {
	play(t, map[string]scenario{
		"by number": {play: func(s *fixture) {
			s.apply("x/in", `{podSelector: {matchLabels: {pod: a}}, ingress: [{ports: [{port: 80}]}]}`)
			s.holds("*/* -> x/a TCP 80 allowed", "*/* -> x/a TCP 81 denied", "*/* -> x/a UDP 80 denied")
		}},
		"by name": {play: func(s *fixture) {
			s.apply("x/in", `{podSelector: {matchLabels: {pod: a}}, ingress: [{ports: [{port: serve-81-tcp}]}]}`)
			s.holds("*/* -> x/a TCP 81 allowed", "*/* -> x/a TCP 80 denied")
		}},
		"by name, for egress": {play: func(s *fixture) {
			s.apply("x/out", `{podSelector: {matchLabels: {pod: a}}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {}}], ports: [{port: serve-80-tcp}]}]}`)
			s.holds("x/a -> y/* TCP 80 allowed", "x/a -> y/* TCP 81 denied", "x/a -> y/* UDP 80 denied")
		}},
		"by a name that has another number in a new pod": {play: func(s *fixture) {
			s.apply("x/in", `{podSelector: {matchLabels: {pod: a}}, ingress: [{ports: [{port: serve-80-tcp}]}]}`)
			s.holds("*/* -> x/a TCP 80 allowed", "*/* -> x/a TCP 81 denied")
			s.replacePod("x/a", func(p *corev1.Pod) {
				ports := p.Spec.Containers[0].Ports
				ports[0].Name, ports[1].Name = ports[1].Name, ports[0].Name
			})
			s.holds("*/* -> x/a TCP 80 denied", "*/* -> x/a TCP 81 allowed")
		}},
		"a name that no port has": {play: func(s *fixture) {
			s.apply("x/in", `{podSelector: {matchLabels: {pod: a}}, ingress: [{ports: [{port: none}]}]}`)
			s.holds("*/* -> x/a denied")
		}},
		"a range": {play: func(s *fixture) {
			s.apply("x/in", `{podSelector: {matchLabels: {pod: a}}, ingress: [{ports: [{port: 81, endPort: 90}]}]}`)
			s.holds("*/* -> x/a TCP 80 denied", "*/* -> x/a TCP 81 allowed")
			s.apply("x/in", `{podSelector: {matchLabels: {pod: a}}, ingress: [{ports: [{port: 79, endPort: 80}, {protocol: UDP, port: 1, endPort: 65535}]}]}`)
			s.holds("*/* -> x/a TCP 80 allowed", "*/* -> x/a TCP 81 denied", "*/* -> x/a UDP 80 allowed")
		}},
		"the same range for egress": {play: func(s *fixture) {
			s.apply("x/out", `{podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: 32, endPort: 80}]}]}`)
			s.holds("x/* -> y/* TCP 80 allowed", "x/* -> y/* TCP 81 denied", "x/* -> y/* UDP 80 denied")
		}},
		"UDP only": {targets: []labTarget{tcp80, udp80, udp81}, play: func(s *fixture) {
			s.apply("x/in", `{podSelector: {matchLabels: {pod: a}}, ingress: [{ports: [{protocol: UDP, port: 80}]}]}`)
			s.holds("*/* -> x/a UDP 80 allowed", "*/* -> x/a UDP 81 denied", "*/* -> x/a TCP 80 denied")
		}},
		"TCP and UDP on one port": {targets: []labTarget{tcp80, tcp81, udp80, udp81}, play: func(s *fixture) {
			s.apply("x/in", `{podSelector: {matchLabels: {pod: a}}, ingress: [{ports: [{port: 80}, {protocol: UDP, port: 80}]}]}`)
			s.holds("*/* -> x/a TCP 80 allowed", "*/* -> x/a UDP 80 allowed", "*/* -> x/a TCP 81 denied", "*/* -> x/a UDP 81 denied")
		}},
		"SCTP by number": {targets: []labTarget{tcp80, sctp80, sctp81}, play: func(s *fixture) {
			s.apply("x/in", `{podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: "y"}}}], ports: [{protocol: SCTP, port: 80}]}]}`)
			s.holds("y/* -> x/a SCTP 80 allowed", "y/* -> x/a SCTP 81 denied", "y/* -> x/a TCP 80 denied", "z/* -> x/a SCTP 80 denied")
		}},
		"SCTP by name, for egress": {targets: []labTarget{tcp80, sctp80, sctp81}, play: func(s *fixture) {
			s.apply("x/out", `{podSelector: {matchLabels: {pod: a}}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {}}], ports: [{protocol: SCTP, port: serve-81-sctp}]}]}`)
			s.holds("x/a -> y/* SCTP 81 allowed", "x/a -> y/* SCTP 80 denied", "x/a -> y/* TCP 80 denied")
		}},
		"a protocol without a port": {targets: []labTarget{tcp80, tcp81, udp80, ping}, play: func(s *fixture) {
			s.apply("x/in", `{podSelector: {matchLabels: {pod: a}}, ingress: [{ports: [{protocol: TCP}]}]}`)
			s.holds("*/* -> x/a TCP 80 allowed", "*/* -> x/a TCP 81 allowed", "*/* -> x/a UDP 80 denied", "*/* -> x/a ICMP denied")
		}},
		"ports differ by peer": {play: func(s *fixture) {
			s.apply("x/in", `{podSelector: {matchLabels: {pod: a}}, ingress: [
				{from: [{namespaceSelector: {matchLabels: {ns: "y"}}}], ports: [{port: 80}]},
				{from: [{namespaceSelector: {matchLabels: {ns: z}}}], ports: [{port: 81}]}]}`)
			s.holds("y/* -> x/a TCP 80 allowed", "y/* -> x/a TCP 81 denied", "z/* -> x/a TCP 80 denied", "z/* -> x/a TCP 81 allowed")
		}},
	})
}
