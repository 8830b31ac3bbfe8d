package bench_test

import (
	"math"
	"testing"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
)

// BenchmarkVerdict measures the processor time of a verdict. A worker decodes a packet,
// evaluates the packet with a tree of 10,000 pods and 1,000 policies, and sets the mark of the
// packet. The benchmark compares the worker with two other programs: a bare loop, which accepts
// every packet without decoding it, and unmodified go-nfqueue. Each packet is the first packet
// of a UDP connection that policies allow. So the kernel does the same work in all three cases.
func BenchmarkVerdict(b *testing.B) {
	s := newFixture(b)
	client, err := s.node.AddPod("client")
	if err != nil {
		b.Fatal(err)
	}
	s.swallow(s.lab.Outside)
	v := &verdicts{fixture: s, sender: start(b, client.Host, "send", sendConfig{Flows: s.allowedUDP()})}
	for i, name := range []string{worker, bareLoop, plainLoop} {
		queue := uint16(100 + i)
		v.servers = append(v.servers, server{name, queue, start(b, s.node.Host, name, serveConfig{queue, s.state, s.config.Marks.Mask})})
	}
	for _, load := range []load{
		{"new-flows=20000/s", sendRequest{Count: choose(10000, 2000), PerSecond: 20000, Random: true}, choose(20, 1)},
		{"new-flows=20000/s-evenly", sendRequest{Count: choose(10000, 2000), PerSecond: 20000}, choose(20, 1)},
		{"saturated", sendRequest{Count: choose(60000, 10000)}, choose(15, 1)},
	} {
		b.Run(load.name, func(b *testing.B) { v.measure(b, load) })
	}
}

type verdicts struct {
	*fixture
	sender  *child
	servers []server
}

type server struct {
	name  string
	queue uint16
	*child
}

type load struct {
	name   string
	send   sendRequest
	rounds int
}

// allowedUDP returns UDP flows that a rule allows. The source or the destination of each flow
// is an isolated pod.
func (s *fixture) allowedUDP() []udpFlow {
	s.b.Helper()
	seen := map[udpFlow]bool{}
	var flows []udpFlow
	for _, f := range s.cluster.Flows(1, 1<<14, 1) {
		u := udpFlow{f.Src, f.Dst, f.DstPort}
		d := s.tree.Evaluate(f)
		if f.Protocol == flow.UDP && d.Egress.Reason == rule.Matched && d.Verdict() == rule.Allow && !seen[u] {
			seen[u] = true
			flows = append(flows, u)
		}
	}
	if len(flows) < 64 {
		s.b.Fatalf("the cluster allows %d UDP flows, want more", len(flows))
	}
	return flows
}

// run sends packets to the queue of one server, and returns the resources that the server has
// used for these packets.
func (v *verdicts) run(s server, r sendRequest) usage {
	v.b.Helper()
	v.install(s.queue)
	v.flushConnections()
	var before, after usage
	s.call(struct{}{}, &before)
	v.sender.call(r, &sent{})
	v.settled(s.queue)
	s.call(struct{}{}, &after)
	if after.Verdicts <= before.Verdicts {
		v.b.Fatalf("%s returned no verdicts", s.name)
	}
	return usage{
		Verdicts:    after.Verdicts - before.Verdicts,
		CPU:         after.CPU - before.CPU,
		Allocations: after.Allocations - before.Allocations,
	}
}

func (v *verdicts) measure(b *testing.B, l load) {
	cost, allocations := map[string][]float64{}, map[string][]float64{}
	// Discard the results of the first round, which warms up caches.
	for round := range l.rounds + 1 {
		for i := range 3 {
			// Change the order in each round, so that each server runs first, second and third
			// equally often.
			s := v.servers[(round+i)%3]
			u := v.run(s, l.send)
			if round > 0 {
				cost[s.name] = append(cost[s.name], float64(u.CPU.Nanoseconds())/float64(u.Verdicts))
				allocations[s.name] = append(allocations[s.name], float64(u.Allocations)/float64(u.Verdicts))
			}
		}
	}
	for _, name := range []string{worker, bareLoop, plainLoop} {
		report(b, name, map[string]float64{
			"cpu-ns/op":    median(cost[name]),
			"x-bare-loop":  medianRatio(cost[name], cost[bareLoop]),
			"x-plain-loop": medianRatio(cost[name], cost[plainLoop]),
			// Reading the counters causes a few allocations per round.
			"allocations/op": math.Round(100*median(allocations[name])) / 100,
		})
	}
}
