package netpol_test

import (
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/test/lab"
)

const fromTeam = `{podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: one}}}]}]}`

// TestChange changes objects, and checks that the changes have the expected effect on verdicts.
func TestChange(t *testing.T) {
	play(t, map[string]scenario{
		"a namespace's label": {play: func(s *fixture) {
			s.apply("x/in", fromTeam)
			s.holds("y/* -> x/a denied", "z/* -> x/a denied")
			s.label("y", "team", "one")
			s.holds("y/* -> x/a allowed", "z/* -> x/a denied")
			s.label("y", "team", "two")
			s.label("z", "team", "one")
			s.holds("y/* -> x/a denied", "z/* -> x/a allowed")
			s.label("z", "team", "")
			s.holds("z/* -> x/a denied")
		}},
		"a peer's label": {play: func(s *fixture) {
			s.apply("x/in", `{podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {role: client}}}]}]}`)
			s.holds("*/* -> x/a denied")
			s.label("y/b", "role", "client")
			s.holds("y/b -> x/a allowed", "y/a -> x/a denied")
			s.label("y/b", "role", "")
			s.holds("y/b -> x/a denied")
		}},
		"a subject's label": {play: func(s *fixture) {
			s.apply("x/deny", `{podSelector: {matchLabels: {sealed: "yes"}}}`)
			s.holds("*/* -> x/* allowed")
			s.label("x/b", "sealed", "yes")
			s.holds("*/* -> x/b denied", "*/* -> x/a allowed")
			s.label("x/b", "sealed", "no")
			s.holds("*/* -> x/b allowed")
		}},
		"a policy from allow to deny and back": {play: func(s *fixture) {
			s.apply("x/p", allowIn)
			s.holds("*/* -> x/* allowed")
			s.apply("x/p", denyIngress)
			s.holds("*/* -> x/* denied")
			s.apply("x/p", `{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: z}}}]}]}`)
			s.holds("z/* -> x/* allowed", "y/* -> x/* denied")
			s.apply("x/p", allowIn)
			s.holds("*/* -> x/* allowed")
		}},
		"a policy is deleted": {play: func(s *fixture) {
			s.apply("x/p", denyAll)
			s.holds("*/* -> x/* denied", "x/* -> */* denied")
			s.remove("x/p")
			s.holds("*/* -> */* allowed")
		}},
		"a policy's direction": {play: func(s *fixture) {
			s.apply("x/p", denyIngress)
			s.holds("y/* -> x/* denied", "x/* -> y/* allowed")
			s.apply("x/p", denyEgress)
			s.holds("y/* -> x/* allowed", "x/* -> y/* denied")
		}},
		"a pod moves to another node": {play: func(s *fixture) {
			s.apply("x/in", `{podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: "y"}}, podSelector: {matchLabels: {pod: b}}}]}]}`)
			s.holds("y/b -> x/a allowed", "y/c -> x/a denied")
			for _, path := range []string{"x/a", "y/b"} {
				here := s.pod(path).Spec.NodeName
				s.replacePod(path, func(p *corev1.Pod) { p.Spec.NodeName = s.otherNode(here) })
				s.holds("y/b -> x/a allowed", "y/c -> x/a denied", "x/b -> x/a denied")
			}
		}},
		"a pod that comes later": {play: func(s *fixture) {
			s.apply("x/in", `{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {pod: d}}}]}]}`)
			s.holds("*/* -> x/* denied")
			s.createPod("x/d", func(*corev1.Pod) {})
			s.must(s.cluster.WaitRunning(s.Context(), s.namespace("x")))
			s.holds("x/d -> x/a allowed", "x/a -> x/d denied", "y/a -> x/d denied")
		}},
		"a pod that has finished has no address": {play: func(s *fixture) {
			s.apply("x/in", `{podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: "y"}}}]}]}`)
			s.holds("y/c -> x/a allowed")
			pod := s.pod("y/c")
			pod.Status.Phase = corev1.PodSucceeded
			s.must(s.cluster.Client().Status().Update(s.Context(), pod))
			s.deletePod("y/c")
			s.holds("y/a -> x/a allowed", "z/* -> x/a denied")
		}},
		"a pod reaches itself through its own service": {targets: []labTarget{tcp80}, play: func(s *fixture) {
			s.apply("x/deny", denyAll)
			a := s.end("x/a")
			service := lab.Service{Protocol: flow.TCP, Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 96, byte(s.number), 10}), 8080), Backend: netip.AddrPortFrom(a.Addresses[0], 80)}
			s.must(s.cluster.AddService(service))
			s.holds("x/* -> x/* denied")
			s.reaches("x/a", service.Address, lab.Connected)
			s.reaches("x/b", service.Address, lab.Rejected)
			s.reaches("y/b", service.Address, lab.Rejected)
			s.apply("x/allow", `{podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: "y"}}}]}]}`)
			s.holds("y/* -> x/a allowed")
			s.reaches("y/b", service.Address, lab.Connected)
		}},
	})
}

// otherNode returns the name of a node other than the node with the given name.
func (s *fixture) otherNode(name string) string {
	for _, n := range s.cluster.Nodes() {
		if n.Name() != name {
			return n.Name()
		}
	}
	return ""
}

// The method `reaches` opens one TCP connection and fails the test if the result differs from the
// `want` parameter.
func (s *fixture) reaches(from string, to netip.AddrPort, want lab.Result) {
	s.Helper()
	got, err := s.end(from).Host.Probe(s.Context(), flow.TCP, netip.Addr{}, to, probeTime)
	s.must(err)
	if got != want {
		s.Errorf("from %s to %s: %s, want %s", from, to, got, want)
	}
}
