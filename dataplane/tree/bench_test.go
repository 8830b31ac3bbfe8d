package tree_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/tree/build"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/compile"
	"github.com/sluicenet/sluice/policy/read"
	"github.com/sluicenet/sluice/test/cluster"
	"github.com/sluicenet/sluice/test/reference"
)

// deltaOf returns one delta with all rules for the node LocalNode in a realistic cluster. The
// `more` parameter contains additional policies.
func deltaOf(b *testing.B, c *cluster.Realistic, more ...*policy.Policy) rule.Delta {
	b.Helper()
	s := policy.NewSnapshot()
	for namespace := range c.Namespaces() {
		s.UpsertNamespace(policy.ReadNamespace(namespace))
	}
	for object := range c.Nodes() {
		node, errors := policy.ReadNode(object)
		if err := errors.Err(); err != nil {
			b.Fatal(err)
		}
		s.UpsertNode(node)
	}
	for _, np := range c.Policies() {
		read, _ := read.NetworkPolicy(np)
		s.UpsertPolicy(read)
	}
	for _, p := range more {
		s.UpsertPolicy(p)
	}
	for object := range c.Pods() {
		pod, errors := policy.ReadPod(object)
		if err := errors.Err(); err != nil {
			b.Fatal(err)
		}
		s.UpsertPod(pod)
	}
	return compile.New(s, cluster.LocalNode).Delta()
}

// BenchmarkEvaluate evaluates flows of the 250 pods of one node. Half of the flows are
// generated so that a rule allows them. The other flows are random.
func BenchmarkEvaluate(b *testing.B) {
	for _, size := range []struct{ pods, policies int }{{1000, 100}, {10000, 1000}, {10000, 10000}, {100000, 10000}} {
		b.Run(fmt.Sprintf("pods=%d/policies=%d", size.pods, size.policies), func(b *testing.B) {
			c := cluster.NewRealistic(1, cluster.Size{Pods: size.pods, Policies: size.policies, DualStack: true})
			builder := build.New(cluster.LocalNode)
			if err := builder.Apply(deltaOf(b, c)); err != nil {
				b.Fatal(err)
			}
			tr := newFixture(b).publish(b, builder)
			flows := c.Flows(1, 1<<14, 0.5)
			b.ReportAllocs()
			i, allowed := 0, 0
			for b.Loop() {
				allowed += int(tr.Evaluate(flows[i&(len(flows)-1)]).Verdict())
				i++
			}
			b.ReportMetric(float64(tr.Size()), "file-bytes")
			b.ReportMetric(100*float64(allowed)/float64(i), "%allowed")
			b.ReportMetric(slowdown(c, flows, b.Elapsed()/time.Duration(b.N)), "x-faster-than-reference")
		})
	}
}

// slowdown returns the factor by which the reference implementation is slower than the tree.
// The `evaluation` parameter is the time that the tree needs for one evaluation. The function
// measures the reference implementation for a quarter of a second, and for at least one flow.
func slowdown(c *cluster.Realistic, flows []flow.Flow, evaluation time.Duration) float64 {
	objects := c.Objects()
	n, start := 0, time.Now()
	for time.Since(start) < time.Second/4 {
		reference.Evaluate(objects, flows[n%len(flows)])
		n++
	}
	return float64(time.Since(start)) / float64(n) / float64(max(evaluation, 1))
}

// everyPodMatched returns a delta with the given number of pods. Of these pods, 250 are local and
// have two programs each, and the others are remote. Every pod has a class, as if a selector
// matched it. With a class for every pod, the tree has its maximum size.
func everyPodMatched(pods int, dualStack bool) rule.Delta {
	var d rule.Delta
	const locals = 250
	own := func(i int, owner rule.Owner) {
		d.Addresses = append(d.Addresses, rule.AddressChange{Addr: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), Owner: owner})
		if dualStack {
			a := [16]byte{0: 0xfd, 6: byte(i >> 16), 7: byte(i >> 8), 15: byte(i)}
			d.Addresses = append(d.Addresses, rule.AddressChange{Addr: netip.AddrFrom16(a), Owner: owner})
		}
	}
	for i := range locals {
		id := rule.PodID(i + 1)
		programs := [2]rule.ProgramID{rule.ProgramID(2*i + 1), rule.ProgramID(2*i + 2)}
		d.Pods = append(d.Pods, rule.PodChange{ID: id, Pod: &rule.Pod{Name: fmt.Sprintf("team-%d/pod-%d", i/10, i), Egress: programs[0], Ingress: programs[1]}})
		own(i, rule.Owner{Kind: rule.LocalPod, Pod: id, Class: rule.Class(1 + i%2000)})
		for _, program := range programs {
			d.Programs = append(d.Programs, rule.ProgramChange{ID: program, Program: manyRules(int(program))})
		}
	}
	for i := locals; i < pods; i++ {
		own(i, rule.Owner{Kind: rule.RemotePod, Class: rule.Class(1 + i%2000)})
	}
	return d
}

func manyRules(seed int) *rule.Program {
	p := &rule.Program{Tier: rule.NetworkPolicyTier, IsolatedBy: []string{fmt.Sprintf("team-%d/default-deny", seed/20)}}
	for i := range 8 {
		name := fmt.Sprintf("team-%d/allow-%d", seed/20, i)
		p.IsolatedBy = append(p.IsolatedBy, name)
		m := rule.Match{Ports: []rule.Ports{{Protocol: uint8(flow.TCP), First: uint16(8000 + 10*i), Last: uint16(8005 + 10*i)}}}
		for class := range rule.Class(6) {
			m.Classes = append(m.Classes, 1+class*61+rule.Class(seed+i)%1600)
		}
		m.Blocks = []rule.Block{{Prefix: netip.MustParsePrefix("172.16.0.0/12"), Excepts: []netip.Prefix{netip.MustParsePrefix("172.16.9.0/24")}}}
		p.Rules = append(p.Rules, rule.Rule{Action: rule.ActionAccept, Policy: name, Matches: []rule.Match{m}})
	}
	return p
}

// BenchmarkApply measures Apply for a delta that contains all rules of a node.
func BenchmarkApply(b *testing.B) {
	for _, dualStack := range []bool{false, true} {
		b.Run(fmt.Sprintf("pods=100000/dualstack=%t", dualStack), func(b *testing.B) {
			d := everyPodMatched(100000, dualStack)
			b.ReportAllocs()
			for b.Loop() {
				if err := build.New("node").Apply(d); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPublish measures the time that is needed to change the class of one remote pod and
// to publish the new tree.
func BenchmarkPublish(b *testing.B) {
	for _, dualStack := range []bool{false, true} {
		b.Run(fmt.Sprintf("pods=100000/dualstack=%t", dualStack), func(b *testing.B) {
			builder, s := build.New("node"), newFixtureOnTmpfs(b)
			if err := builder.Apply(everyPodMatched(100000, dualStack)); err != nil {
				b.Fatal(err)
			}
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				i++
				change := rule.AddressChange{Addr: netip.MustParseAddr("10.1.0.0"), Owner: rule.Owner{Kind: rule.RemotePod, Class: rule.Class(1 + i%2000)}}
				if err := builder.Apply(rule.Delta{Addresses: []rule.AddressChange{change}}); err != nil {
					b.Fatal(err)
				}
				if _, err := s.publisher.Publish(builder); err != nil {
					b.Fatal(err)
				}
			}
			tr, err := statedir.OpenCurrent(s.dir)
			if err != nil {
				b.Fatal(err)
			}
			defer tr.Close()
			b.ReportMetric(float64(tr.Size()), "file-bytes")
		})
	}
}

// BenchmarkOpen measures the time that is needed to map and verify a large tree.
func BenchmarkOpen(b *testing.B) {
	builder, s := build.New("node"), newFixtureOnTmpfs(b)
	if err := builder.Apply(everyPodMatched(100000, true)); err != nil {
		b.Fatal(err)
	}
	s.publish(b, builder)
	b.ReportAllocs()
	for b.Loop() {
		tr, err := statedir.OpenCurrent(s.dir)
		if err != nil {
			b.Fatal(err)
		}
		if err := tr.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
