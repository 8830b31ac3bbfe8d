package bench_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/engine"
	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/generation"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/ruleset"
	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/tree/build"
	"github.com/sluicenet/sluice/test/lab"
)

const (
	// floodPackets is the number of different packets of a flooder. The flooder sends them in turn,
	// again and again. Every packet is evaluated as the first packet of a flow, because a denied
	// flow has no entry in the conntrack table.
	floodPackets = 4096
	// If connect(2) takes longer than lostAfter, the SYN or the SYN-ACK was lost. TCP retransmits
	// them after 1 s.
	lostAfter = 900 * time.Millisecond
	// allowedPort is the first of allowedPorts consecutive ports. Policies allow connections to
	// these ports.
	allowedPort, allowedPorts = 9000, 16
	// dataplaneRequest is the CPU request of the dataplane, in thousandths of a processor. It is the
	// default of spec.dataplane.resources of the Enforcer.
	dataplaneRequest = 250
	// podRequest is the CPU request of the client and of the server. It is more than they use.
	podRequest = 500
)

// floodConfig contains the packets of a flooder, including their IPv4 headers. floodRequest
// contains the time for which the flooder sends packets. flooded contains the number of packets
// that it sent.
type (
	floodConfig  struct{ Packets [][]byte }
	floodRequest struct{ For time.Duration }
	flooded      struct{ Packets int }
)

// floodRole sends packets as fast as one thread can.
func floodRole(in *json.Decoder, out *json.Encoder) error {
	var config floodConfig
	if err := in.Decode(&config); err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return fmt.Errorf("opening socket: %w", err)
	}
	if err := out.Encode(struct{}{}); err != nil {
		return err
	}
	for {
		var r floodRequest
		if err := in.Decode(&r); err != nil {
			return err
		}
		answer := flooded{}
		for begin := time.Now(); time.Since(begin) < r.For; answer.Packets++ {
			p := config.Packets[answer.Packets%len(config.Packets)]
			// Continue if the kernel drops the packet because the queue of the interface is full
			// (ENOBUFS) or because of a rule (EPERM).
			if err := unix.Sendto(fd, p, 0, &unix.SockaddrInet4{Addr: [4]byte(p[16:20])}); err != nil && err != unix.ENOBUFS && err != unix.EPERM {
				return fmt.Errorf("sending: %w", err)
			}
		}
		if err := out.Encode(answer); err != nil {
			return err
		}
	}
}

// BenchmarkFlood measures how a flood of some pods affects another pod. The pod b opens 2,000
// connections per second to a server. Meanwhile, flooders open denied flows as fast as they can.
// The flooders are other pods or, for a SYN flood, a host that sends packets to other pods.
//
// The processes run in control groups, with the CPU weights that the kubelet would set. The
// dataplane, the client and the server have CPU requests. In the variant `cpu-requests=none`, the
// flooders have none. In the variant `cpu-requests=all`, they request the rest of the node's CPU.
//
// The benchmark reports the duration of connect(2) in b without and with a flood. For the time of
// the flood, it also reports the percentage of the connections that b opened, and the number of
// these connections whose SYN or SYN-ACK was lost. For comparison, the variant `kernel` has rules
// that accept the connections of b and drop all other packets, without a queue.
func BenchmarkFlood(b *testing.B) {
	for _, kind := range []string{"egress-scan", "syn-flood", "udp-ports"} {
		for _, pods := range []int{1, 50} {
			for _, requests := range []string{"none", "all"} {
				b.Run(fmt.Sprintf("%s/pods=%d/cpu-requests=%s", kind, pods, requests), func(b *testing.B) {
					newFlood(b, kind, pods, requests == "all").measure(b)
				})
			}
		}
	}
}

// flooding is a node with the pods of the benchmark. The processes in `flooders` send the flood.
type flooding struct {
	*fixture
	client   *child
	flooders []*child
	config   engine.Config
	groups   *podGroups
}

func newFlood(b *testing.B, kind string, pods int, requestAll bool) *flooding {
	b.Helper()
	capacity := 1000 * max(runtime.NumCPU(), 2)
	requests, request := dataplaneRequest+2*podRequest, 0
	if requestAll {
		requests, request = capacity, (capacity-requests)/pods
	}
	f := &flooding{groups: newPodGroups(b, capacity, requests), fixture: newNode(b)}
	server, client := f.pod("s"), f.pod("b")
	names := map[*lab.Pod]string{server: "default/s", client: "default/b"}
	var flooders []*lab.Pod
	for i := range pods {
		p := f.pod(fmt.Sprintf("a%d", i))
		flooders = append(flooders, p)
		names[p] = "default/" + p.Name()
	}
	f.publishIsolated(names)
	ends := tcpConfig{Client: ipv4Of(b, client), Server: ipv4Of(b, server), FirstPort: allowedPort, Ports: allowedPorts}
	accepting := start(b, server.Host, "accept", ends)
	f.client = start(b, client.Host, "connect", ends)
	f.groups.add(accepting, "server", podRequest)
	f.groups.add(f.client, "client", podRequest)
	for i, p := range flooders {
		packets, from := floodOf(kind, i, ipv4Of(b, p), ends.Server), p.Host
		if kind == "syn-flood" {
			from = f.lab.Outside
		}
		flooder := start(b, from, "flood", floodConfig{packets})
		f.groups.add(flooder, p.Name(), request)
		f.flooders = append(f.flooders, flooder)
	}
	f.config = engine.Config{
		Marks: f.fixture.config.Marks, QueueBase: 100, Queues: 2,
		FailurePolicy: ruleset.FailClosed, Deny: ruleset.Drop, Log: logr.Discard(),
	}
	return f
}

func (f *flooding) pod(name string) *lab.Pod {
	f.b.Helper()
	p, err := f.node.AddPod(name)
	if err != nil {
		f.b.Fatal(err)
	}
	return p
}

func ipv4Of(b *testing.B, p *lab.Pod) netip.Addr {
	b.Helper()
	a, ok := p.Address(netip.IPv4Unspecified())
	if !ok {
		b.Fatalf("pod %s has no IPv4 address", p.Name())
	}
	return a
}

// floodOf returns the packets of one flooder.
func floodOf(kind string, number int, pod, server netip.Addr) [][]byte {
	random := rand.New(rand.NewPCG(1, uint64(number)))
	port := func() uint16 { return uint16(20000 + random.IntN(40000)) }
	var out [][]byte
	for range floodPackets {
		anywhere := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, byte(random.Uint32()), byte(random.Uint32())}), port())
		switch kind {
		case "egress-scan":
			out = append(out, lab.Datagram(netip.AddrPortFrom(pod, port()), anywhere, nil))
		case "syn-flood":
			out = append(out, lab.Segment(anywhere, netip.AddrPortFrom(pod, port()), synFlag))
		default:
			out = append(out, lab.Datagram(netip.AddrPortFrom(pod, port()), netip.AddrPortFrom(server, port()), nil))
		}
	}
	return out
}

// synFlag is the flag SYN of a TCP header.
const synFlag = 0x02

// publishIsolated publishes a tree in which policies isolate all pods in both directions, and allow
// TCP connections to the allowed ports.
func (f *flooding) publishIsolated(names map[*lab.Pod]string) {
	f.b.Helper()
	d := rule.Delta{Programs: []rule.ProgramChange{{ID: 1, Program: &rule.Program{
		Tier: rule.NetworkPolicyTier, IsolatedBy: []string{"default/all"},
		Rules: []rule.Rule{{Action: rule.ActionAccept, Policy: "default/all", Matches: []rule.Match{{
			Any: true, Ports: []rule.Ports{{Protocol: uint8(flow.TCP), First: allowedPort, Last: allowedPort + allowedPorts - 1}},
		}}}},
	}}}}
	id := rule.PodID(0)
	for pod, name := range names {
		id++
		d.Pods = append(d.Pods, rule.PodChange{ID: id, Pod: &rule.Pod{Name: name, Egress: 1, Ingress: 1}})
		for _, a := range pod.Addresses() {
			d.Addresses = append(d.Addresses, rule.AddressChange{Addr: a, Owner: rule.Owner{Kind: rule.LocalPod, Pod: id}})
		}
	}
	builder := build.New("node")
	publisher, err := statedir.NewPublisher(f.state)
	if err == nil {
		err = builder.Apply(d)
	}
	if err == nil {
		_, err = publisher.Publish(builder)
	}
	if err != nil {
		f.b.Fatal(err)
	}
	t, err := statedir.OpenCurrent(f.state)
	if err != nil {
		f.b.Fatal(err)
	}
	f.b.Cleanup(func() { _ = t.Close() })
	f.generation = generation.Of(t)
}

// measure measures both variants.
func (f *flooding) measure(b *testing.B) {
	f.b = b
	engine := start(b, f.node.Host, "engine", engineConfig{f.state, f.config})
	f.groups.add(engine, "dataplane", dataplaneRequest)
	f.variant(b, "sluice", engine)
	engine.end()
	f.install(100)
	f.inNode(dropInKernel)
	f.variant(b, "kernel", nil)
}

// variant measures the connections of b without a flood, and then with a flood.
func (f *flooding) variant(b *testing.B, name string, engine *child) {
	const perSecond = 2000
	took := time.Duration(choose(4000, 200)) * time.Millisecond
	request := connectRequest{Count: int(took.Seconds() * perSecond), PerSecond: perSecond, For: took}
	var idle, during connected
	f.client.call(request, &idle)
	for _, c := range f.flooders {
		c.send(floodRequest{took + 300*time.Millisecond})
	}
	used := time.Duration(0)
	if engine != nil {
		used = -processorTime(b, engine.cmd.Process.Pid)
	}
	f.client.call(request, &during)
	if engine != nil {
		used += processorTime(b, engine.cmd.Process.Pid)
	}
	packets := 0
	for _, c := range f.flooders {
		var answer flooded
		c.receive(&answer)
		packets += answer.Packets
	}
	figures := map[string]float64{
		"idle-p99-ns/op": quantile(idle.Latencies, 0.99), "p50-ns/op": quantile(during.Latencies, 0.5), "p99-ns/op": quantile(during.Latencies, 0.99),
		"worst-ns/op": quantile(during.Latencies, 1),
		"lost":        lost(during.Latencies), "%made": 100 * float64(during.Connections) / float64(request.Count), "flows/s": float64(packets) / (took + 300*time.Millisecond).Seconds(),
	}
	figures["x-idle"] = figures["p99-ns/op"] / figures["idle-p99-ns/op"]
	if engine != nil {
		figures["cores"] = used.Seconds() / during.Took.Seconds()
	}
	report(b, name, figures)
}

// lost returns the number of connections whose first SYN or SYN-ACK was lost.
func lost(latencies []time.Duration) float64 {
	n := 0
	for _, l := range latencies {
		if l > lostAfter {
			n++
		}
	}
	return float64(n)
}

// dropInKernel replaces the rules that queue packets. The new rules accept connections to the allowed
// ports and drop all other packets.
func dropInKernel() error {
	n, err := nftables.New()
	if err != nil {
		return err
	}
	table := &nftables.Table{Name: "sluice", Family: nftables.TableFamilyINet}
	chain := &nftables.Chain{Name: "enqueue", Table: table}
	n.FlushChain(chain)
	n.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_TCP}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Range{Op: expr.CmpOpEq, Register: 1, FromData: binaryutil.BigEndian.PutUint16(allowedPort), ToData: binaryutil.BigEndian.PutUint16(allowedPort + allowedPorts - 1)},
		&expr.Verdict{Kind: expr.VerdictAccept},
	}})
	n.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}}})
	return n.Flush()
}
