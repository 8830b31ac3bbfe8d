package bench_test

import (
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
)

const connectQueue = 100

// maxReset limits the number of reset connections. If more than one in maxReset connections is
// reset, the benchmark fails.
const maxReset = 100

// BenchmarkConnect measures new TCP connections to an isolated pod. A client opens a
// connection, transfers one byte, and closes the connection. The benchmark reports the number
// of connections per second, and the duration of connect(2) at 2,000 connections per second. It
// also measures a variant of the rules for comparison. In this variant, the last rule accepts
// packets instead of queueing them.
func BenchmarkConnect(b *testing.B) {
	c := newConnections(b)
	b.Run("parallel=16", c.race)
	b.Run("paced=2000/s", c.pace)
}

// connections is a fixture with two additions: a TCP client in the outside host, and a TCP
// server in an isolated pod.
type connections struct {
	*fixture
	client *child
}

func newConnections(b *testing.B) *connections {
	b.Helper()
	c := &connections{fixture: newFixture(b)}
	config := c.allowedTCP()
	server, err := c.node.AddPod("server", config.Server)
	if err != nil {
		b.Fatal(err)
	}
	if err := c.lab.AddAddress(config.Client); err != nil {
		b.Fatal(err)
	}
	start(b, server.Host, "accept", config)
	start(b, c.node.Host, worker, serveConfig{connectQueue, c.state, c.config.Marks.Mask})
	c.client = start(b, c.lab.Outside, "connect", config)
	return c
}

// allowedTCP returns the addresses of a server and of a client, and a range of server ports.
// The server is a pod of this node and is isolated for ingress. The client is a pod of another
// node. Policies allow TCP connections from the client to every port in the range.
func (s *fixture) allowedTCP() tcpConfig {
	s.b.Helper()
	const ports = 16
candidates:
	for _, f := range s.cluster.Flows(1, 1<<14, 1) {
		c := tcpConfig{Client: f.Src, Server: f.Dst, FirstPort: f.DstPort, Ports: ports}
		for i := range uint16(ports) {
			f.DstPort = c.FirstPort + i
			d := s.tree.Evaluate(f)
			if f.Protocol != flow.TCP || d.Verdict() != rule.Allow || d.Ingress.Reason != rule.Matched || d.Egress.Reason != rule.Elsewhere {
				continue candidates
			}
		}
		return c
	}
	s.b.Fatalf("no rule of the cluster allows %d ports in a row", ports)
	return tcpConfig{}
}

// enforce installs the rules and deletes all connection tracking entries. If the `queue`
// parameter is false, it also replaces the rule that queues packets with a rule that accepts
// packets.
func (c *connections) enforce(queue bool) {
	c.b.Helper()
	c.install(connectQueue)
	if !queue {
		c.inNode(acceptInsteadOfQueue)
	}
	c.flushConnections()
}

// acceptInsteadOfQueue replaces the last rule of the chain `enqueue`. The old rule queues packets,
// and the new rule accepts packets.
func acceptInsteadOfQueue() error {
	n, err := nftables.New()
	if err != nil {
		return err
	}
	table := &nftables.Table{Name: "sluice", Family: nftables.TableFamilyINet}
	rules, err := n.GetRules(table, &nftables.Chain{Name: "enqueue", Table: table})
	if err != nil {
		return err
	}
	last := rules[len(rules)-1]
	last.Exprs = []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}}
	n.ReplaceRule(last)
	return n.Flush()
}

// ways contains the names of the two variants that BenchmarkConnect compares.
var ways = [2]string{"sluice", "accept"}

// The method `each` measures the two variants in alternation. The first round only warms up
// caches, so its results are discarded.
func (c *connections) each(rounds int, r connectRequest, take func(way int, made connected)) {
	c.b.Helper()
	for round := range rounds + 1 {
		for i := range ways {
			way := (round + i) % len(ways)
			c.enforce(way == 0)
			var made connected
			c.client.call(r, &made)
			if made.Reset*maxReset > made.Connections {
				c.b.Fatalf("%s: %d of %d connections were reset", ways[way], made.Reset, made.Connections)
			}
			if round > 0 {
				take(way, made)
			}
		}
	}
}

func (c *connections) race(b *testing.B) {
	var rates [len(ways)][]float64
	request := connectRequest{Parallel: 16, For: time.Duration(choose(1000, 200)) * time.Millisecond}
	c.each(choose(12, 1), request, func(way int, made connected) {
		rates[way] = append(rates[way], float64(made.Connections)/made.Took.Seconds())
	})
	for way, name := range ways {
		report(b, name, map[string]float64{
			"connections/s": median(rates[way]),
			"x-accept":      medianRatio(rates[way], rates[1]),
		})
	}
}

func (c *connections) pace(b *testing.B) {
	var half, most [len(ways)][]float64
	request := connectRequest{Count: choose(3000, 400), PerSecond: 2000}
	c.each(choose(10, 1), request, func(way int, made connected) {
		half[way] = append(half[way], quantile(made.Latencies, 0.5))
		most[way] = append(most[way], quantile(made.Latencies, 0.99))
	})
	for way, name := range ways {
		figures := map[string]float64{"p50-ns/op": median(half[way]), "p99-ns/op": median(most[way])}
		if way == 0 {
			figures["added-p99-ns/op"] = medianDifference(most[0], most[1])
		}
		report(b, name, figures)
	}
}
