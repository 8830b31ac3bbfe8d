package netpol_test

import "testing"

const (
	denyIngress = `{podSelector: {}, policyTypes: [Ingress]}`
	denyEgress  = `{podSelector: {}, policyTypes: [Egress]}`
	denyAll     = `{podSelector: {}, policyTypes: [Ingress, Egress]}`
	allowIn     = `{podSelector: {}, ingress: [{}]}`
	allowOut    = `{podSelector: {}, policyTypes: [Egress], egress: [{}]}`
)

// TestIsolation tests which pods a policy isolates, and for which directions.
func TestIsolation(t *testing.T) {
	play(t, map[string]scenario{
		"default deny ingress of one namespace": {play: func(s *fixture) {
			s.apply("x/deny", denyIngress)
			s.holds("*/* -> x/* denied", "x/* -> y/* allowed", "y/* -> z/* allowed", "x/a -> x/a allowed")
		}},
		"default deny egress of one namespace": {play: func(s *fixture) {
			s.apply("x/deny", denyEgress)
			s.holds("x/* -> */* denied", "y/* -> x/* allowed", "x/a -> x/a allowed")
		}},
		"default deny of both": {play: func(s *fixture) {
			s.apply("x/deny", denyAll)
			s.holds("x/* -> */* denied", "*/* -> x/* denied", "y/* -> z/* allowed")
		}},
		"deny one pod by its labels": {play: func(s *fixture) {
			s.apply("x/deny", `{podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress]}`)
			s.holds("*/* -> x/a denied", "*/* -> x/b allowed", "*/* -> y/a allowed")
		}},
		"allow all ingress in addition to a default deny": {play: func(s *fixture) {
			s.apply("x/deny", denyIngress)
			s.apply("x/allow", allowIn)
			s.holds("*/* -> x/* allowed")
		}},
		"allow all egress in addition to a default deny": {play: func(s *fixture) {
			s.apply("x/deny", denyEgress)
			s.apply("x/allow", allowOut)
			s.holds("x/* -> */* allowed")
		}},
		"egress and ingress together": {play: func(s *fixture) {
			s.apply("x/both", `{podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress, Egress],
				ingress: [{from: [{namespaceSelector: {matchLabels: {ns: "y"}}}]}],
				egress: [{to: [{namespaceSelector: {matchLabels: {ns: z}}}], ports: [{port: 80}]}]}`)
			s.holds("y/* -> x/a allowed", "z/* -> x/a denied", "x/a -> y/* denied",
				"x/a -> z/* TCP 80 allowed", "x/a -> z/* TCP 81 denied", "x/a -> z/* UDP 80 denied")
		}},
		"both ends must agree": {play: func(s *fixture) {
			s.apply("x/out", `{podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {ns: "y"}}}]}]}`)
			s.apply("y/in", `{podSelector: {matchLabels: {pod: b}}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: z}}}]}]}`)
			s.holds("x/a -> y/a allowed", "x/a -> y/b denied", "x/a -> z/a denied", "z/a -> y/b allowed")
		}},
		"with policyTypes Egress, ingress rules have no effect": {play: func(s *fixture) {
			s.apply("x/out", `{podSelector: {}, policyTypes: [Egress], ingress: [{from: [{podSelector: {matchLabels: {pod: none}}}]}]}`)
			s.holds("y/* -> x/* allowed", "x/* -> */* denied")
		}},
		"policyTypes absent, with egress rules": {play: func(s *fixture) {
			s.apply("x/both", `{podSelector: {matchLabels: {pod: a}}, egress: [{to: [{podSelector: {}}]}]}`)
			s.holds("*/* -> x/a denied", "x/a -> x/b allowed", "x/a -> y/* denied")
		}},
		"replies leave a pod that may not open connections": {play: func(s *fixture) {
			s.apply("x/deny", denyEgress)
			s.apply("y/in", `{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: z}}}]}]}`)
			s.holds("z/* -> x/* allowed", "y/* -> x/* allowed", "x/* -> y/* denied", "z/* -> y/* allowed", "x/* -> z/* denied")
		}},
		"overlapping policies are combined": {play: func(s *fixture) {
			s.apply("x/one", `{podSelector: {matchExpressions: [{key: pod, operator: In, values: [a, b]}]},
				ingress: [{from: [{namespaceSelector: {matchLabels: {ns: "y"}}}]}]}`)
			s.apply("x/two", `{podSelector: {matchExpressions: [{key: pod, operator: In, values: [b, c]}]},
				ingress: [{from: [{namespaceSelector: {matchLabels: {ns: z}}}]}]}`)
			s.holds("y/* -> x/a allowed", "z/* -> x/a denied", "y/* -> x/b allowed", "z/* -> x/b allowed", "y/* -> x/c denied", "z/* -> x/c allowed")
		}},
		"stacked policies, one port each": {play: func(s *fixture) {
			s.apply("x/80", `{podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: "y"}}}], ports: [{port: 80}]}]}`)
			s.holds("y/* -> x/a TCP 80 allowed", "y/* -> x/a TCP 81 denied", "z/* -> x/a TCP 80 denied")
			s.apply("x/81", `{podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: "y"}}}], ports: [{port: 81}]}]}`)
			s.holds("y/* -> x/a TCP 80 allowed", "y/* -> x/a TCP 81 allowed", "y/* -> x/a UDP 80 denied")
			s.remove("x/80")
			s.holds("y/* -> x/a TCP 80 denied", "y/* -> x/a TCP 81 allowed")
		}},
		"ports of three protocols and echoes, denied": {targets: []labTarget{tcp80, udp80, sctp80, ping}, play: func(s *fixture) {
			s.apply("x/deny", denyIngress)
			s.holds("y/* -> x/* denied", "x/* -> y/* allowed")
		}},
	})
}
