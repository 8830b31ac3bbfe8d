package queue

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/hits"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/tree/build"
)

// Only packets with the verdict allow or deny count. The rules decide later whether a mid-stream
// packet belongs to a connection.
func TestMidStreamPacketsAreNoHits(t *testing.T) {
	evaluator, counters := manyRules(t), hits.New()
	w := newWorker(t, evaluator, nil)
	w.lane = counters.Lanes(1)[0]
	w.pool.evaluator.Store(&evaluatorInUse{evaluator, counters.Use(evaluator)})
	w.begin()
	for _, data := range [][]byte{tcp4(80, syn), tcp4(80, ack), tcp4(99, syn), reply(tcp4(40000, ack)), unreachable4(1), tcp4(80, syn)[:30]} {
		w.handle(describe(7, nil, data))
	}
	w.end()
	counts := map[string]uint64{}
	for _, h := range counters.Report().Counters {
		if h.Rule == nil {
			counts["denied"] += h.Count
		} else {
			counts["allowed"] += h.Count
		}
	}
	if counts["allowed"] != 2 || counts["denied"] != 1 || w.counters.midStream.Load() != 2 {
		t.Errorf("counts %v with %d mid-stream packets, want 2 allowed and 1 denied", counts, w.counters.midStream.Load())
	}
}

// BenchmarkVerdict measures the time that a worker needs for a batch of one packet with a real tree,
// without the time of the kernel. The tree contains 100 pods with 10 rules each.
func BenchmarkVerdict(b *testing.B) {
	evaluator := manyRules(b)
	for name, counters := range map[string]*hits.Counters{"rules are not counted": nil, "rules are counted": hits.New()} {
		b.Run(name, func(b *testing.B) {
			w := newWorker(b, evaluator, nil)
			w.lane = counters.Lanes(1)[0]
			w.pool.evaluator.Store(&evaluatorInUse{evaluator, counters.Use(evaluator)})
			var packets [100][]byte
			for i := range packets {
				data := tcp4(80+uint16(i)%10, syn)
				data[19] = byte(i)
				packets[i] = describe(7, nil, data)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				w.begin()
				w.handle(packets[i%100])
				w.end()
				w.socket.unsent = w.socket.unsent[:0]
			}
		})
	}
}

// manyRules returns a tree with the pods 10.0.0.0 to 10.0.0.99, each with its own program.
func manyRules(t testing.TB) rule.Evaluator {
	t.Helper()
	var d rule.Delta
	for i := range 100 {
		program := &rule.Program{Tier: rule.NetworkPolicyTier, IsolatedBy: []string{fmt.Sprintf("shop/p%d", i)}}
		for n := range uint16(10) {
			program.Rules = append(program.Rules, rule.Rule{
				Action: rule.ActionAccept, Policy: program.IsolatedBy[0], Index: int(n), Fingerprint: uint64(i)*10 + uint64(n) + 1,
				Matches: []rule.Match{{Any: true, Ports: []rule.Ports{{Protocol: uint8(flow.TCP), First: 80 + n, Last: 80 + n}}}},
			})
		}
		pod, id := rule.PodID(i+1), rule.ProgramID(i+1)
		d.Programs = append(d.Programs, rule.ProgramChange{ID: id, Program: program})
		d.Pods = append(d.Pods, rule.PodChange{ID: pod, Pod: &rule.Pod{Name: fmt.Sprintf("shop/pod-%d", i), Ingress: id}})
		d.Addresses = append(d.Addresses, rule.AddressChange{
			Addr: netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), Owner: rule.Owner{Kind: rule.LocalPod, Pod: pod},
		})
	}
	builder, dir := build.New("node"), t.TempDir()
	publisher, err := statedir.NewPublisher(dir)
	if err == nil {
		err = builder.Apply(d)
	}
	if err == nil {
		_, err = publisher.Publish(builder)
	}
	if err != nil {
		t.Fatal(err)
	}
	opened, err := statedir.OpenCurrent(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = opened.Close() })
	return opened
}
