package netpol_test

import (
	"testing"

	"github.com/sluicenet/sluice/test/labcluster"
)

type labTarget = labcluster.Target

// TestPeers tests which sources and destinations the peers of a rule match.
func TestPeers(t *testing.T) {
	play(t, map[string]scenario{
		"by pod selector, of the policy's namespace": {play: func(s *fixture) {
			s.apply("x/in", `{podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{podSelector: {matchLabels: {pod: b}}}]}]}`)
			s.holds("x/b -> x/a allowed", "x/c -> x/a denied", "y/b -> x/a denied")
		}},
		"by namespace selector": {play: func(s *fixture) {
			s.apply("x/in", `{podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: "y"}}}]}]}`)
			s.holds("y/* -> x/a allowed", "z/* -> x/a denied", "x/b -> x/a denied")
		}},
		"by both at once": {play: func(s *fixture) {
			s.apply("x/in", `{podSelector: {matchLabels: {pod: a}}, ingress: [{from: [
				{namespaceSelector: {matchLabels: {ns: "y"}}, podSelector: {matchLabels: {pod: b}}}]}]}`)
			s.holds("y/b -> x/a allowed", "y/a -> x/a denied", "x/b -> x/a denied")
		}},
		"by either of them": {play: func(s *fixture) {
			s.apply("x/in", `{podSelector: {matchLabels: {pod: a}}, ingress: [{from: [
				{namespaceSelector: {matchLabels: {ns: "y"}}}, {podSelector: {matchLabels: {pod: b}}}]}]}`)
			s.holds("y/* -> x/a allowed", "x/b -> x/a allowed", "x/c -> x/a denied", "z/b -> x/a denied")
		}},
		"by expressions on pods": {play: func(s *fixture) {
			s.apply("x/in", `{podSelector: {matchLabels: {pod: a}}, ingress: [{from: [
				{namespaceSelector: {}, podSelector: {matchExpressions: [{key: pod, operator: NotIn, values: [a]}, {key: pod, operator: Exists}]}}]}]}`)
			s.holds("y/b -> x/a allowed", "z/c -> x/a allowed", "y/a -> x/a denied", "z/a -> x/a denied")
		}},
		"by expressions on namespaces": {play: func(s *fixture) {
			s.apply("x/in", `{podSelector: {}, ingress: [{from: [
				{namespaceSelector: {matchExpressions: [{key: ns, operator: In, values: ["y"]}]}},
				{namespaceSelector: {matchExpressions: [{key: ns, operator: DoesNotExist}]}}]}]}`)
			s.holds("y/* -> x/* allowed", "z/* -> x/* denied", "x/b -> x/a denied")
		}},
		"by the name of several namespaces": {play: func(s *fixture) {
			s.apply("x/in", `{podSelector: {}, ingress: [{from: [
				{namespaceSelector: {matchExpressions: [{key: kubernetes.io/metadata.name, operator: In, values: [$y, $z]}]}}]}]}`)
			s.holds("y/* -> x/* allowed", "z/* -> x/* allowed", "x/b -> x/a denied")
		}},
		"only of one's own namespace": {play: func(s *fixture) {
			s.apply("x/in", `{podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}`)
			s.holds("x/* -> x/* allowed", "y/* -> x/* denied", "z/* -> x/* denied")
		}},
		"all namespaces, and no address outside": {play: func(s *fixture) {
			s.addOutside("internet", outsideAddress(s, 1), outsideAddress6(s, 1))
			s.apply("x/in", `{podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]}`)
			s.holds("*/* -> x/* allowed", "internet -> x/* denied", "internet -> y/* allowed", "x/* -> internet allowed")
		}},
		"an empty list of peers matches every peer": {play: func(s *fixture) {
			s.addOutside("internet", outsideAddress(s, 1), outsideAddress6(s, 1))
			s.apply("x/in", `{podSelector: {}, ingress: [{from: [], ports: [{port: 80}]}]}`)
			s.holds("*/* -> x/* TCP 80 allowed", "internet -> x/* TCP 80 allowed", "*/* -> x/* TCP 81 denied", "internet -> x/* UDP 80 denied")
		}},
		"subjects by several labels": {play: func(s *fixture) {
			s.label("x/a", "tier", "back")
			s.label("x/b", "tier", "back")
			s.apply("x/in", `{podSelector: {matchLabels: {pod: a, tier: back}}, ingress: []}`)
			s.holds("*/* -> x/a denied", "*/* -> x/b allowed")
		}},
		"egress by pod selector": {play: func(s *fixture) {
			s.apply("x/out", `{podSelector: {matchLabels: {pod: a}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {pod: b}}}]}]}`)
			s.holds("x/a -> x/b allowed", "x/a -> x/c denied", "x/a -> y/b denied", "y/b -> x/a allowed")
		}},
		"egress by namespace and pod": {play: func(s *fixture) {
			s.apply("x/out", `{podSelector: {matchLabels: {pod: a}}, policyTypes: [Egress], egress: [{to: [
				{namespaceSelector: {matchLabels: {ns: "y"}}, podSelector: {matchLabels: {pod: a}}}]}]}`)
			s.holds("x/a -> y/a allowed", "x/a -> y/b denied", "x/a -> z/a denied")
		}},
		"an exception for names": {play: func(s *fixture) {
			// In this scenario, UDP port 81 represents the DNS port, and pod z/c represents the
			// DNS server.
			s.apply("x/deny", denyEgress)
			s.apply("x/dns", `{podSelector: {}, policyTypes: [Egress], egress: [{to: [
				{namespaceSelector: {matchLabels: {ns: z}}, podSelector: {matchLabels: {pod: c}}}], ports: [{port: 81, protocol: UDP}]}]}`)
			s.holds("x/* -> z/c UDP 81 allowed", "x/* -> z/c TCP 80 denied", "x/* -> z/a UDP 81 denied", "x/* -> y/* denied")
		}, targets: []labTarget{tcp80, udp80, udp81}},
	})
}
