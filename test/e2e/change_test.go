package e2e_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/label"
	"github.com/sluicenet/sluice/test/stage"
)

// eachFamily runs a scenario four times: over each address family, once with deny action Drop and
// once with deny action Reject.
func eachFamily(t *testing.T, scenario func(t *testing.T, like netip.Addr, deny string)) {
	t.Parallel()
	for _, deny := range []string{"Drop", "Reject"} {
		for _, like := range families {
			t.Run(deny+" "+familyName(like), func(t *testing.T) {
				t.Parallel()
				scenario(t, like, deny)
			})
		}
	}
}

func familyName(like netip.Addr) string {
	if like.Is4() {
		return "IPv4"
	}
	return "IPv6"
}

// When a new policy denies open connections, exactly these connections are cut, in both
// directions, no matter which end opened them (S50). When a later policy allows a cut
// connection again, the connection continues if both ends still have it open (S51).
func TestS50S51OpenFlows(t *testing.T) {
	eachFamily(t, func(t *testing.T, like netip.Addr, deny string) {
		s := newFixture(t, nil, "--deny", deny)
		s.serve(`
			web  TCP 80 -> shop/web 8080
			webu UDP 80 -> shop/web 8080
		`)
		open := func(lines ...string) (out []*stream) {
			for _, line := range lines {
				out = append(out, s.open(line, like))
			}
			return out
		}
		into := open("lab/probe -> shop/web TCP 8080", "lab/probe -> shop/web UDP 8080", "lab/far -> shop/web TCP 8080",
			"outside -> shop/web UDP 8080", "lab/probe -> service:web", "lab/probe -> service:webu")
		outOf := open("shop/web -> lab/probe TCP 80", "shop/web -> lab/probe UDP 80", "shop/web -> outside TCP 80", "shop/web -> outside UDP 80")
		others := open("shop/db -> lab/probe TCP 80", "shop/db -> outside UDP 80", "node:one -> shop/web TCP 8080",
			"node:one -> shop/web UDP 8080")
		// If the deny action is Reject, the denied connections are reset. The rest of the test
		// then needs new streams.
		again := func(streams []*stream, lines ...string) []*stream {
			if deny == "Drop" {
				s.each("allowed again (S51)", (*stream).goesOn, streams...)
				return streams
			}
			return open(lines...)
		}

		s.set("shop/in", `{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress]}`)
		s.enforce()
		s.each("under a policy for ingress", (*stream).isCut, into...)
		s.each("under a policy for ingress", (*stream).goesOn, slices.Concat(outOf, others)...)
		s.remove("shop/in")
		s.enforce()
		into = again(into, "lab/probe -> shop/web TCP 8080", "outside -> shop/web UDP 8080")

		s.set("shop/out", `{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{podSelector: {}}]}]}`)
		s.enforce()
		s.each("under a policy for egress", (*stream).isCut, outOf...)
		s.each("under a policy for egress", (*stream).goesOn, slices.Concat(into, others)...)
		s.remove("shop/out")
		s.enforce()
		outOf = again(outOf, "shop/web -> lab/probe TCP 80", "shop/web -> outside UDP 80")

		// A policy that allows all traffic cuts no connection.
		s.set("shop/all", `{podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{}], egress: [{}]}`)
		s.enforce()
		s.each("under a policy that allows them", (*stream).goesOn, slices.Concat(into, outOf, others)...)
	})
}

// Verdicts depend on the current labels of namespaces, and of pods on other nodes. A change of
// these labels also applies to open connections (S52).
func TestS52LabelsElsewhere(t *testing.T) {
	eachFamily(t, func(t *testing.T, like netip.Addr, deny string) {
		s := newFixture(t, map[string]string{
			"shop/web": `{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress, Egress], ingress: [{from: [{namespaceSelector: {matchLabels: {team: lab}}, podSelector: {matchLabels: {app: far}}}]}], egress: [{to: [{namespaceSelector: {matchLabels: {team: lab}}, podSelector: {matchLabels: {app: far}}}]}]}`,
		}, "--deny", deny)
		open := func() []*stream {
			return []*stream{
				s.open("lab/far -> shop/web TCP 8080", like), s.open("lab/far -> shop/web UDP 8080", like),
				s.open("shop/web -> lab/far TCP 8080", like), s.open("shop/web -> lab/far UDP 8080", like),
			}
		}
		streams := open()
		for _, change := range []struct {
			name          string
			revoke, grant func()
		}{
			{"a remote pod's label", func() { s.label("lab/far", "app", "other") }, func() { s.label("lab/far", "app", "far") }},
			{
				"a namespace's label",
				func() { s.snapshot.UpsertNamespace(policy.Namespace{Name: "lab"}) },
				func() {
					s.snapshot.UpsertNamespace(policy.Namespace{Name: "lab", Labels: label.Of(map[string]string{"team": "lab"})})
				},
			},
		} {
			change.revoke()
			s.enforce()
			s.each(change.name+" revokes", (*stream).isCut, streams...)
			s.want(`
				lab/far -> shop/web TCP 8080 denied
				shop/web -> lab/far UDP 8080 denied
			`)
			change.grant()
			s.enforce()
			if deny == "Reject" {
				streams = open()
			}
			s.each(change.name+" grants", (*stream).goesOn, streams...)
		}
	})
}

// When an address moves from one pod to another, verdicts for the address no longer depend on
// the labels of the old pod. Marks from connections of the old pod have no effect (S53).
func TestS53AddressThatMoves(t *testing.T) {
	eachFamily(t, func(t *testing.T, like netip.Addr, deny string) {
		s := newFixture(t, map[string]string{
			"shop/web": `{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress, Egress], ingress: [{}], egress: [{}]}`,
			"shop/new": `{podSelector: {matchLabels: {app: new}}, policyTypes: [Ingress, Egress]}`,
			"shop/db":  `{podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}`,
		}, "--deny", deny)
		s.want(`
			shop/web  -> shop/db  TCP 1 allowed
			lab/probe -> shop/web UDP 8080 allowed
		`)
		kept := s.open("lab/probe -> shop/web UDP 8080", like)
		s.move("shop/web", "shop/new", "new")
		s.startServers("lab/probe -> shop/new UDP 8080 allowed")
		s.each("with another pod at the address", (*stream).isCut, kept)
		s.want(`
			shop/new  -> shop/db  TCP 1 denied
			shop/new  -> outside  TCP 1 denied
			lab/probe -> shop/new UDP 8080 denied
			lab/probe -> shop/new TCP 1 denied
		`)
		s.move("shop/new", "shop/open", "open")
		s.startServers("lab/probe -> shop/open UDP 8080 allowed")
		s.want(`
			shop/open -> shop/db   TCP 1 denied
			shop/open -> outside   TCP 1 allowed
			lab/probe -> shop/open UDP 8080 allowed
			lab/probe -> shop/open TCP 1 allowed
		`)
		reopened := s.open("lab/probe -> shop/open UDP 8080", like)
		s.each("with a pod that no policy isolates", (*stream).goesOn, reopened)
		marks, err := s.nodes["one"].Connections()
		s.must(err)
		address := s.address("shop/open", like)
		for _, c := range marks {
			if c.Mark&0x60 != 0 && (c.TupleOrig.IP.SourceAddress == address && c.TupleReply.IP.SourceAddress == s.address("outside", like) ||
				c.TupleReply.IP.SourceAddress == address && c.TupleOrig.IP.SourceAddress == s.address("lab/probe", like)) {
				t.Errorf("a connection of a pod that no policy isolates has mark %#x: %s -> %s", c.Mark, c.TupleOrig.IP.SourceAddress, c.TupleReply.IP.SourceAddress)
			}
		}
	})
}

// move deletes a pod and creates a new pod with the same addresses.
func (s *fixture) move(from, to, app string) {
	s.t.Helper()
	old := s.pod(from)
	addresses := old.Addresses()
	for key := range s.servers {
		if key.host == old.Host {
			delete(s.servers, key)
		}
	}
	s.must(s.nodes["one"].RemovePod(old))
	delete(s.pods, from)
	for _, p := range s.snapshot.Pods() {
		if p.Namespace+"/"+p.Name == from {
			s.snapshot.DeletePod(p.Namespace, p.Name)
		}
	}
	moved := stage.Objects(s.t, fmt.Sprintf("- {pod: %s, labels: {app: %s}}", to, app))
	s.addPod(moved.Pods[0], addresses...)
	s.enforce()
}
