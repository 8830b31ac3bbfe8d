package netpol_test

import (
	"fmt"
	"testing"
)

// outsideAddress returns an IPv4 address in 172.20.0.0/16. outsideAddress6 returns an IPv6
// address in fd20::/16. Both addresses contain the number of the fixture, so that scenarios
// that run in parallel use different addresses.
func outsideAddress(s *fixture, last int) string { return fmt.Sprintf("172.20.%d.%d", s.number, last) }

func outsideAddress6(s *fixture, last int) string { return fmt.Sprintf("fd20:%x::%d", s.number, last) }

// TestBlocks tests peers with an ipBlock.
func TestBlocks(t *testing.T) {
	play(t, map[string]scenario{
		"ingress from a block outside": {play: func(s *fixture) {
			s.addOutside("near", outsideAddress(s, 1), outsideAddress6(s, 1))
			s.apply("x/in", fmt.Sprintf(`{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: %s/32}}, {ipBlock: {cidr: "%s/128"}}]}]}`, outsideAddress(s, 1), outsideAddress6(s, 1)))
			s.holds("near -> x/* allowed", "*/* -> x/* denied")
		}},
		"a block with an except": {play: func(s *fixture) {
			s.addOutside("near", outsideAddress(s, 1), outsideAddress6(s, 1))
			s.addOutside("far", outsideAddress(s, 129), outsideAddress6(s, 129))
			s.apply("x/in", fmt.Sprintf(`{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 172.20.%d.0/24, except: [%s/32]}}, {ipBlock: {cidr: "fd20:%x::/64", except: ["%s/128"]}}]}]}`,
				s.number, outsideAddress(s, 129), s.number, outsideAddress6(s, 129)))
			s.holds("near -> x/* allowed", "far -> x/* denied", "far -> y/* allowed")
		}},
		"another policy overrides an except": {play: func(s *fixture) {
			except := `{podSelector: {matchLabels: {pod: a}}, policyTypes: [Egress], egress: [{to: [
				{ipBlock: {cidr: 10.244.0.0/16, except: [$ip4(y/b)/32]}}, {ipBlock: {cidr: "fd00:10:244::/48", except: ["$ip6(y/b)/128"]}}]}]}`
			s.apply("x/except", except)
			s.holds("x/a -> y/b denied", "x/a -> y/a allowed", "x/a -> z/b allowed", "x/b -> y/b allowed")
			s.apply("x/only", `{podSelector: {matchLabels: {pod: a}}, policyTypes: [Egress], egress: [{to: [
				{ipBlock: {cidr: $ip4(y/b)/32}}, {ipBlock: {cidr: "$ip6(y/b)/128"}}]}]}`)
			s.holds("x/a -> y/b allowed", "x/a -> y/a allowed")
			s.remove("x/except")
			s.holds("x/a -> y/b allowed", "x/a -> y/a denied")
		}},
		"egress to the block of a pod": {play: func(s *fixture) {
			s.apply("x/out", `{podSelector: {matchLabels: {pod: a}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: $ip4(y/b)/32}}, {ipBlock: {cidr: "$ip6(y/b)/128"}}]}]}`)
			s.holds("x/a -> y/b allowed", "x/a -> y/a denied", "x/a -> z/b denied")
		}},
		"egress to a block outside, on a port": {play: func(s *fixture) {
			s.addOutside("near", outsideAddress(s, 1), outsideAddress6(s, 1))
			s.apply("x/out", fmt.Sprintf(`{podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 172.20.%d.0/24}}, {ipBlock: {cidr: "fd20:%x::/32"}}], ports: [{port: 80}]}]}`, s.number, s.number))
			s.holds("x/* -> near TCP 80 allowed", "x/* -> near TCP 81 denied", "x/* -> near UDP 80 denied", "x/* -> y/* denied", "near -> x/* allowed")
		}},
		"a block of one family allows nothing of the other family": {play: func(s *fixture) {
			s.apply("x/in", `{podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}]}`)
			s.must(s.cluster.WaitEnforced(s.Context()))
			s.check("y/* -> x/b allowed")
			table, err := s.cluster.Table(s.Context(), s.ends(), s.targets)
			s.must(err)
			for i := range table {
				c := &table[i]
				if c.To == "x/a" && c.From != "x/a" && c.Want != c.Flow.Src.Is4() {
					s.Errorf("%s: want it for IPv4 only", c.String())
				}
			}
		}},
	})
}
