package engine_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/generation"
	"github.com/sluicenet/sluice/dataplane/hits"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/ruleset"
	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/tree/build"
	"github.com/sluicenet/sluice/test/eventually"
)

// acceptPorts returns the rules of a policy. Each rule accepts one UDP port, which is also its
// fingerprint.
func acceptPorts(ports ...uint16) []rule.Rule {
	var out []rule.Rule
	for i, port := range ports {
		out = append(out, rule.Rule{
			Action: rule.ActionAccept, Policy: "lab/in", Index: i, Fingerprint: uint64(port),
			Matches: []rule.Match{{Any: true, Ports: []rule.Ports{{Protocol: uint8(flow.UDP), First: port, Last: port}}}},
		})
	}
	return out
}

// treeOf publishes a tree in which two policies isolate pod two for ingress, and returns the tree as
// a generation.
func (s *fixture) treeOf(dir string, rules []rule.Rule) generation.Generation {
	s.t.Helper()
	d := rule.Delta{
		Programs: []rule.ProgramChange{{ID: 1, Program: &rule.Program{
			Tier: rule.NetworkPolicyTier, IsolatedBy: []string{"lab/deny", "lab/in"}, Rules: rules,
		}}},
		Pods: []rule.PodChange{{ID: 1, Pod: &rule.Pod{Name: "lab/two", Ingress: 1}}},
	}
	for _, a := range s.two.Addresses() {
		d.Addresses = append(d.Addresses, rule.AddressChange{Addr: a, Owner: rule.Owner{Kind: rule.LocalPod, Pod: 1}})
	}
	builder := build.New("node")
	publisher, err := statedir.NewPublisher(dir)
	if err == nil {
		err = builder.Apply(d)
	}
	if err == nil {
		_, err = publisher.Publish(builder)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	opened, err := statedir.OpenCurrent(dir)
	if err != nil {
		s.t.Fatal(err)
	}
	s.number++
	g := generation.Of(opened)
	g.Number = s.number
	return g
}

// TestHitsAreExact sends real packets from several workers' queues, over several trees, and compares
// each counter with the number of flows.
func TestHitsAreExact(t *testing.T) {
	s := newFixture(t, ruleset.Drop, func(flow.Flow) rule.Verdict { return rule.Deny })
	if err := s.engine.Close(); err != nil {
		t.Fatal(err)
	}
	s.config.Hits, s.config.Queues = hits.New(), 4
	s.start(func(flow.Flow) rule.Verdict { return rule.Deny })
	dir := t.TempDir()
	// Each tree edits or moves rules. The rule for port 7001 stays the same.
	trees := [][]rule.Rule{acceptPorts(7001, 7002, 7003), acceptPorts(7001, 7004), acceptPorts(7005, 7006, 7001), acceptPorts(7003, 7001)}
	const flows = 25
	want, source := map[string]uint64{}, 20_000
	for i, rules := range trees {
		s.useGeneration(s.treeOf(dir, rules))
		for _, r := range rules {
			n := flows + int(r.Fingerprint%7) + i
			source = s.flows(n, source, uint16(r.Fingerprint))
			want[fmt.Sprint(r.Fingerprint)] += uint64(n)
		}
		source = s.flows(flows, source, 9)
		want["lab/deny"] += flows
		want["lab/in"] += flows
		// Wait until all packets are evaluated, so that none of them is evaluated with the next
		// tree.
		eventually.NoError(t, func() error { return compareHits(s.config.Hits, want) })
	}
	st := s.status()
	if st.Hits == nil || st.Hits.Rules != 2 || st.Hits.Unused != 0 || st.Verdicts.QueueDropped+st.Verdicts.SocketDropped > 0 {
		t.Errorf("status: %+v, hits %+v", st.Verdicts, st.Hits)
	}
}

// compareHits compares the counters with the expected counters. The key of a rule is its
// fingerprint. The key of the flows that were denied because no rule matched is the name of the
// policy.
func compareHits(counters *hits.Counters, want map[string]uint64) error {
	got := map[string]uint64{}
	for _, h := range counters.Report().Counters {
		key := h.Policy
		if h.Rule != nil {
			var fingerprint uint64
			if _, err := fmt.Sscanf(h.Fingerprint, "%x", &fingerprint); err != nil {
				return err
			}
			key = fmt.Sprint(fingerprint)
		}
		got[key] += h.Count
	}
	if diff := cmp.Diff(want, got); diff != "" {
		return fmt.Errorf("counters (-want +got):\n%s", diff)
	}
	return nil
}

// flows sends n datagrams from pod one to a port of pod two. The source ports start at first, so that
// each datagram opens a new flow. It returns the next free source port.
func (s *fixture) flows(n, first int, port uint16) int {
	s.t.Helper()
	a, _ := s.two.Address(like4)
	to := net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, port))
	err := s.one.Do(func() error {
		for i := range n {
			conn, err := net.DialUDP("udp4", &net.UDPAddr{Port: first + i}, to)
			if err != nil {
				return err
			}
			_, err = conn.Write([]byte{0})
			if err := errors.Join(err, conn.Close()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return first + n
}
