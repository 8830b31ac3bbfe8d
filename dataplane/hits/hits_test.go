package hits

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/tree"
	"github.com/sluicenet/sluice/dataplane/tree/build"
)

// fixture counts the flows that two workers evaluate with the latest tree.
type fixture struct {
	t        testing.TB
	counters *Counters
	lanes    []*Lane
	dir      string
	tree     *tree.Tree
	table    *Table
	clock    time.Time
}

func newFixture(t testing.TB) *fixture {
	s := &fixture{t: t, counters: New(), dir: t.TempDir(), clock: time.Unix(1000, 0)}
	s.counters.now = func() time.Time { return s.clock }
	s.lanes = s.counters.Lanes(2)
	return s
}

var (
	web   = netip.MustParseAddr("10.0.0.1")
	db    = netip.MustParseAddr("10.0.0.2")
	other = netip.MustParseAddr("192.0.2.1")
)

// port returns a rule for TCP connections to a port. The port is also the fingerprint of the rule.
func port(policy string, index int, action rule.Action, number uint16) rule.Rule {
	return rule.Rule{
		Policy: policy, Index: index, Action: action, Fingerprint: uint64(number),
		Matches: []rule.Match{{Any: true, Ports: []rule.Ports{{Protocol: uint8(flow.TCP), First: number, Last: number}}}},
	}
}

func accept(policy string, index int, number uint16) rule.Rule {
	return port(policy, index, rule.ActionAccept, number)
}

// use publishes a tree with the pods web and db. The program for egress applies to web, and the
// other programs to db.
func (s *fixture) use(egress, ingress, admin *rule.Program) {
	s.t.Helper()
	var d rule.Delta
	for i, p := range []*rule.Program{egress, ingress, admin} {
		if p != nil {
			d.Programs = append(d.Programs, rule.ProgramChange{ID: rule.ProgramID(i + 1), Program: p})
		}
	}
	pods := []*rule.Pod{{Name: "shop/web"}, {Name: "shop/db"}}
	if egress != nil {
		pods[0].Egress = 1
	}
	if ingress != nil {
		pods[1].Ingress = 2
	}
	if admin != nil {
		pods[1].Admin[rule.Ingress] = 3
	}
	for i, a := range []netip.Addr{web, db} {
		d.Pods = append(d.Pods, rule.PodChange{ID: rule.PodID(i + 1), Pod: pods[i]})
		d.Addresses = append(d.Addresses, rule.AddressChange{Addr: a, Owner: rule.Owner{Kind: rule.LocalPod, Pod: rule.PodID(i + 1)}})
	}
	s.useDelta(d)
}

func (s *fixture) useDelta(d rule.Delta) {
	s.t.Helper()
	builder := build.New("node")
	publisher, err := statedir.NewPublisher(s.dir)
	if err == nil {
		err = builder.Apply(d)
	}
	if err == nil {
		_, err = publisher.Publish(builder)
	}
	if err == nil {
		s.tree, err = statedir.OpenCurrent(s.dir)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	opened := s.tree
	s.t.Cleanup(func() { _ = opened.Close() })
	s.clock = s.clock.Add(time.Second)
	s.table = s.counters.Use(s.tree)
}

// send evaluates n flows to a port, half of them on each worker.
func (s *fixture) send(n int, from, to netip.Addr, port uint16) {
	for i := range n {
		d := s.tree.Evaluate(flow.Flow{Src: from, Dst: to, Protocol: flow.TCP, SrcPort: uint16(i), DstPort: port})
		s.lanes[i%2].Count(s.table, d)
	}
}

// want compares the counters, written as "policy direction[rule]: count".
func (s *fixture) want(want ...string) {
	s.t.Helper()
	var got []string
	for _, h := range s.counters.Report().Counters {
		rule := "none"
		if h.Rule != nil {
			rule = fmt.Sprint(*h.Rule)
		}
		line := fmt.Sprintf("%s %s[%s]: %d", h.Policy, h.Direction, rule, h.Count)
		if h.Gone {
			line += " gone"
		}
		if h.CountedPartly {
			line += " partly"
		}
		got = append(got, line)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Errorf("counters (-want +got):\n%s", diff)
	}
}

func isolate(rules ...rule.Rule) *rule.Program {
	p := &rule.Program{Tier: rule.NetworkPolicyTier, Rules: rules}
	for _, r := range rules {
		p.IsolatedBy = append(p.IsolatedBy, r.Policy)
	}
	slices.Sort(p.IsolatedBy)
	p.IsolatedBy = slices.Compact(p.IsolatedBy)
	return p
}

func TestTheDecidingRuleOfEachSideCounts(t *testing.T) {
	s := newFixture(t)
	s.use(isolate(accept("shop/out", 0, 1), accept("shop/out", 1, 2)), isolate(accept("shop/in", 0, 11), accept("shop/also", 0, 12)), nil)
	s.send(5, web, other, 1)
	s.send(3, other, db, 11)
	s.send(2, other, db, 12)
	// Both policies isolate the pod, so both deny the flow.
	s.send(4, other, db, 99)
	s.send(7, web, other, 99)
	s.want("shop/also ingress[0]: 2", "shop/also ingress[none]: 4", "shop/in ingress[0]: 3", "shop/in ingress[none]: 4",
		"shop/out egress[0]: 5", "shop/out egress[1]: 0", "shop/out egress[none]: 7")
	if r := s.counters.Summary(); r.Rules != 4 || r.Unused != 1 || r.Counters != nil {
		t.Errorf("summary %+v, want 1 of 4 rules unused", r)
	}
}

// If both pods run on this node, the ingress side counts only if the egress side is allowed. On two
// nodes, a packet that is denied on the first node never reaches the second.
func TestTheIngressSideOfADeniedPacketDoesNotCount(t *testing.T) {
	s := newFixture(t)
	s.use(isolate(accept("shop/out", 0, 80)), isolate(accept("shop/in", 0, 81)), nil)
	s.send(3, web, db, 81)
	s.send(2, web, db, 80)
	s.want("shop/in ingress[0]: 0", "shop/in ingress[none]: 2", "shop/out egress[0]: 2", "shop/out egress[none]: 3")
}

func TestARuleThatPassesAFlowCounts(t *testing.T) {
	s := newFixture(t)
	admin := &rule.Program{Tier: rule.AdminTier, Rules: []rule.Rule{
		port("first", 0, rule.ActionPass, 80), port("first", 1, rule.ActionDeny, 81), port("first", 2, rule.ActionAccept, 82),
	}}
	s.use(nil, isolate(rule.Rule{Policy: "shop/in", Fingerprint: 7, Action: rule.ActionAccept, Matches: []rule.Match{{Any: true}}}), admin)
	s.send(2, other, db, 80)
	s.send(3, other, db, 81)
	s.send(4, other, db, 82)
	s.send(5, other, db, 83)
	s.want("shop/in ingress[0]: 7", "shop/in ingress[none]: 0", "first ingress[0]: 2", "first ingress[1]: 3", "first ingress[2]: 4")
}

// The dataplane does not queue the flows of a pod if no policy can deny them.
func TestRulesOfPodsThatAreNotQueuedAreMarked(t *testing.T) {
	s := newFixture(t)
	admin := &rule.Program{Tier: rule.AdminTier, Rules: []rule.Rule{accept("first", 0, 80)}}
	s.use(nil, nil, admin)
	s.want("first ingress[0]: 0 partly")
	if r := s.counters.Summary(); r.Rules != 1 || r.Unused != 0 {
		t.Errorf("summary %+v, want no unused rule", r)
	}
	s.use(nil, isolate(accept("shop/in", 0, 81)), admin)
	s.want("shop/in ingress[0]: 0", "shop/in ingress[none]: 0", "first ingress[0]: 0")
}

func TestCountersFollowTheRulesThroughTrees(t *testing.T) {
	s := newFixture(t)
	s.use(nil, isolate(accept("shop/in", 0, 80), accept("shop/in", 1, 81)), nil)
	first := s.clock.UTC()
	s.send(3, other, db, 80)
	s.send(4, other, db, 81)
	s.send(5, other, db, 99)
	// The first rule is edited, and the second rule moves. Another policy isolates the pod.
	s.use(nil, isolate(accept("shop/in", 0, 82), accept("shop/new", 0, 83), accept("shop/in", 1, 84), accept("shop/in", 2, 81)), nil)
	second := s.clock.UTC()
	s.send(1, other, db, 81)
	s.send(1, other, db, 99)
	s.want("shop/in ingress[0]: 3 gone", "shop/in ingress[0]: 0", "shop/in ingress[1]: 0", "shop/in ingress[2]: 5", "shop/in ingress[none]: 6",
		"shop/new ingress[0]: 0", "shop/new ingress[none]: 1")
	counters := s.counters.Report().Counters
	for i, want := range []report.RuleHits{0: {Since: first, Last: first}, 1: {Since: second}, 3: {Since: first, Last: second}, 4: {Since: first, Last: second}} {
		if i == 2 {
			continue
		}
		if diff := cmp.Diff(want, counters[i], cmpopts.IgnoreFields(report.RuleHits{}, "Policy", "Direction", "Rule", "Fingerprint", "Count", "Gone")); diff != "" {
			t.Errorf("times of counter %d (-want +got):\n%s", i, diff)
		}
	}
	// The node no longer runs a selected pod, and then runs one again.
	s.use(nil, nil, nil)
	s.use(nil, isolate(accept("shop/in", 0, 81)), nil)
	s.send(2, other, db, 81)
	for _, h := range s.counters.Report().Counters {
		if h.Fingerprint == fmt.Sprintf("%016x", 81) && (h.Count != 7 || h.Gone || !h.Since.Equal(first)) {
			t.Errorf("the counter does not continue: %+v", h)
		}
	}
}

func TestRestartCountsFromZero(t *testing.T) {
	s := newFixture(t)
	in := isolate(accept("shop/in", 0, 80))
	s.use(nil, isolate(accept("shop/old", 0, 79)), nil)
	s.use(nil, in, nil)
	s.send(3, other, db, 80)
	s.clock = s.clock.Add(time.Hour)
	s.counters.Restart()
	s.want("shop/in ingress[0]: 0", "shop/in ingress[none]: 0")
	s.send(1, other, db, 80)
	s.want("shop/in ingress[0]: 1", "shop/in ingress[none]: 0")
	r := s.counters.Report()
	if !r.Since.Equal(s.clock) || !r.Counters[0].Since.Equal(s.clock) {
		t.Errorf("since %s and %s, want %s", r.Since, r.Counters[0].Since, s.clock)
	}
	// A new pool has new workers.
	s.lanes = s.counters.Lanes(2)
	s.table = s.counters.Use(s.tree)
	s.send(2, other, db, 80)
	s.want("shop/in ingress[0]: 2", "shop/in ingress[none]: 0")
}

// rules returns a program with n rules. The first rule is for the given port.
func rules(n, first int) *rule.Program {
	p := &rule.Program{Tier: rule.NetworkPolicyTier, IsolatedBy: []string{"shop/in"}}
	for i := range n {
		p.Rules = append(p.Rules, accept("shop/in", i, uint16(first+i)))
	}
	return p
}

func TestMemoryIsBounded(t *testing.T) {
	s := newFixture(t)
	s.counters.limit = 10
	// One slot is for denied packets, and slot 0 for rules without a slot.
	s.use(nil, rules(9, 100), nil)
	s.send(1, other, db, 108)
	if r := s.counters.Report(); !r.Overflow || r.Rules != 8 || r.Unused != 8 {
		t.Errorf("%+v, want 8 rules with a counter", r)
	}
	s.use(nil, rules(4, 100), nil)
	s.send(2, other, db, 100)
	s.use(nil, rules(4, 200), nil)
	s.send(3, other, db, 200)
	// The slots of a tree are free once another tree has replaced it.
	s.use(nil, nil, nil)
	s.use(nil, rules(8, 300), nil)
	if r := s.counters.Report(); r.Overflow || r.Rules != 8 || r.Unused != 8 {
		t.Errorf("%+v, want new counters for 8 rules", r)
	}
	s.send(4, other, db, 307)
	if r := s.counters.Report(); r.Unused != 7 {
		t.Errorf("%+v, want one used rule", r)
	}
}

func TestRetainedCountersAreBounded(t *testing.T) {
	s := newFixture(t)
	const each = 1000
	for i := range 10 {
		s.use(nil, rules(each, 1+i*each), nil)
		s.send(1, other, db, uint16(1+i*each))
	}
	counters := s.counters.Report().Counters
	used := 0
	for _, h := range counters {
		used += int(h.Count)
	}
	// The current rules, the rules before them, and the retained rules.
	if n := len(counters); n > 2*each+maxRetained+1 || used < 5 {
		t.Errorf("%d counters with %d hits", n, used)
	}
}

// A tree of an agent that adds no fingerprints still counts, by the position of the rules.
func TestRulesWithoutFingerprint(t *testing.T) {
	s := newFixture(t)
	without := func(rules ...rule.Rule) *rule.Program {
		for i := range rules {
			rules[i].Fingerprint = 0
		}
		return isolate(rules...)
	}
	s.use(nil, without(accept("shop/in", 0, 80), accept("shop/in", 1, 81)), nil)
	s.send(2, other, db, 81)
	s.use(nil, without(accept("shop/a", 0, 79), accept("shop/in", 0, 80), accept("shop/in", 1, 81)), nil)
	s.send(1, other, db, 81)
	s.want("shop/a ingress[0]: 0", "shop/a ingress[none]: 0", "shop/in ingress[0]: 0", "shop/in ingress[1]: 3", "shop/in ingress[none]: 0")
}

// Workers count while new trees arrive, and no hit is lost.
func TestNoHitIsLostWhileTreesChange(t *testing.T) {
	s := newFixture(t)
	const hits, trees = 20_000, 50
	type current struct {
		tree  *tree.Tree
		table *Table
	}
	var all []current
	for i := range trees {
		program := rules(1+i%7, 100)
		program.Rules = append(program.Rules, accept("shop/in", 99, 80))
		s.use(nil, program, nil)
		all = append(all, current{s.tree, s.table})
	}
	var workers sync.WaitGroup
	for _, l := range s.lanes {
		workers.Go(func() {
			for i := range hits {
				c := all[i*trees/hits]
				l.Count(c.table, c.tree.Evaluate(flow.Flow{Src: other, Dst: db, Protocol: flow.TCP, DstPort: 80}))
			}
		})
	}
	for range 100 {
		s.counters.Report()
	}
	workers.Wait()
	for _, h := range s.counters.Report().Counters {
		if h.Rule != nil && *h.Rule == 99 && h.Count != 2*hits {
			t.Errorf("%d hits, want %d", h.Count, 2*hits)
		}
	}
}

func TestCountAllocatesNothing(t *testing.T) {
	s := newFixture(t)
	s.use(isolate(accept("shop/out", 0, 80)), isolate(accept("shop/in", 0, 80)), nil)
	d := s.tree.Evaluate(flow.Flow{Src: web, Dst: db, Protocol: flow.TCP, DstPort: 80})
	if n := testing.AllocsPerRun(1000, func() { s.lanes[0].Count(s.table, d) }); n != 0 {
		t.Errorf("%v allocations per packet", n)
	}
}

// BenchmarkCount measures the part of a verdict that counts its rules: one rule for each side.
func BenchmarkCount(b *testing.B) {
	s := newFixture(b)
	s.use(isolate(accept("shop/out", 0, 80)), isolate(accept("shop/in", 0, 80)), nil)
	d := s.tree.Evaluate(flow.Flow{Src: web, Dst: db, Protocol: flow.TCP, DstPort: 80})
	for b.Loop() {
		s.lanes[0].Count(s.table, d)
	}
}
