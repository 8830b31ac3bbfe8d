package bench_test

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	timo "github.com/ti-mo/conntrack"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluicenet/sluice/dataplane/engine"
	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/policy/read"
)

const (
	// openConnections is the number of connections that the node tracks. The verdicts of some of
	// them depend on the changed policy, and `changing` is the number of these connections.
	openConnections = 100000
	changing        = 1000
	// probePort is a UDP port. The policy alternately allows and denies connections to this
	// port.
	probePort = 7777
	// timeout is the maximum time until a new generation has an effect.
	timeout = 10 * time.Second
)

// BenchmarkRevoke measures how long a change of one policy takes while the node tracks 100,000
// connections of isolated pods. The change affects 1,000 of these connections. The benchmark
// measures two times. Both start when the symlink to the tree is renamed. The first time ends
// with the first verdict of the new tree. To detect this verdict, the benchmark sends 5,000
// datagrams per second, each in a new flow. The second time ends with the acknowledgement. At
// this point, all connections have been re-evaluated.
func BenchmarkRevoke(b *testing.B) {
	r := newRevocation(b)
	var verdicts, acknowledgements []time.Duration
	for i := range choose(160, 4) {
		allowed := i%2 == 0
		verdict, acknowledgement := r.change(allowed)
		if allowed {
			verdicts = append(verdicts, verdict)
		}
		acknowledgements = append(acknowledgements, acknowledgement)
	}
	for _, row := range []struct {
		name  string
		times []time.Duration
	}{{"first-verdict", verdicts}, {"acknowledged", acknowledgements}} {
		slices.Sort(row.times)
		report(b, row.name, map[string]float64{
			"p50-ns/op": quantile(row.times, 0.5),
			"p99-ns/op": quantile(row.times, 0.99),
		})
	}
}

// revocation is a node with a running engine, a client and a server. A policy alternately
// allows and denies connections from the client to the server.
type revocation struct {
	*fixture
	policy     *networkingv1.NetworkPolicy
	generation uint64
	engine     *child
	sender     *child
	// The `first` field is the arrival time of the first datagram after the `change` method has
	// set this field to 0. The time is in nanoseconds since the machine was booted.
	first atomic.Int64
}

func newRevocation(b *testing.B) *revocation {
	b.Helper()
	r := &revocation{fixture: newFixture(b)}
	r.generation = r.tree.Generation()
	ends := r.allowedTCP()
	r.policy = r.allowProbes(ends.Server)
	server, err := r.node.AddPod("server", ends.Server)
	if err != nil {
		b.Fatal(err)
	}
	// Make connection tracking entries expire after 2 s, so that each probe belongs to a new
	// flow.
	if err := r.node.Sysctl("net/netfilter/nf_conntrack_udp_timeout", "2"); err != nil {
		b.Fatal(err)
	}
	r.listen(server.Do, ends.Server)
	r.open(ends)
	// Discard the log of the engine.
	config := engine.Config{
		Marks: r.config.Marks, QueueBase: 100, Queues: 2,
		FailurePolicy: r.config.FailurePolicy, Deny: r.config.Deny, Log: logr.Discard(),
	}
	r.engine = start(b, r.node.Host, "engine", engineConfig{r.state, config})
	r.sender = start(b, r.lab.Outside, "send", sendConfig{Flows: []udpFlow{{ends.Client, ends.Server, probePort}}})
	return r
}

// allowProbes returns the policy that the `change` method adds and removes.
func (r *revocation) allowProbes(server netip.Addr) *networkingv1.NetworkPolicy {
	r.b.Helper()
	pod, ok := r.snapshot.Owner(server)
	if !ok {
		r.b.Fatalf("no pod has %s", server)
	}
	udp, port := corev1.ProtocolUDP, intstr.FromInt32(probePort)
	return &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: "allow-probes"},
		Spec: networkingv1.NetworkPolicySpec{
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
			Ingress: []networkingv1.NetworkPolicyIngressRule{
				{Ports: []networkingv1.NetworkPolicyPort{{Protocol: &udp, Port: &port}}},
			},
		},
	}
}

// listen receives datagrams and stores the arrival time of the first datagram in r.first.
func (r *revocation) listen(do func(func() error) error, server netip.Addr) {
	r.b.Helper()
	var conn *net.UDPConn
	err := do(func() (err error) {
		conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(server, probePort)))
		return err
	})
	if err != nil {
		r.b.Fatal(err)
	}
	r.b.Cleanup(func() { _ = conn.Close() })
	go func() {
		data := make([]byte, datagramSize)
		for {
			if _, _, err := conn.ReadFromUDPAddrPort(data); err != nil {
				return
			}
			r.first.CompareAndSwap(0, int64(now()))
		}
	}()
}

// open adds flows of the isolated pods to the connection tracking table of the node. A rule allows
// half of these flows. The method also adds flows to probePort. The verdict for the flows to
// probePort depends on the changed policy.
func (r *revocation) open(ends tcpConfig) {
	r.b.Helper()
	const hour = 3600
	add := func(f flow.Flow, port uint16) {
		c := timo.NewFlow(uint8(f.Protocol), 0, f.Src, f.Dst, port, f.DstPort, hour, 0)
		if err := r.connections.Create(c); err != nil {
			r.b.Fatalf("connection %d: %v", port, err)
		}
	}
	flows := r.cluster.Flows(1, 1<<13, 0.5)
	seen := map[flow.Flow]bool{}
	flows = slices.DeleteFunc(flows, func(f flow.Flow) bool {
		f.SrcPort = 0
		double := seen[f]
		seen[f] = true
		return double
	})
	for i := range openConnections - changing {
		add(flows[i%len(flows)], uint16(firstPort+i/len(flows)))
	}
	for i := range changing {
		add(flow.Flow{Src: ends.Client, Dst: ends.Server, Protocol: flow.UDP, DstPort: probePort}, uint16(1<<16-1-i))
	}
}

// change publishes a tree, which contains the policy only if the `allowed` parameter is true. It
// returns two durations, which both start when the symlink is renamed. The first one ends when
// the first datagram arrives, and is valid only if `allowed` is true. The second one ends with
// the acknowledgement.
func (r *revocation) change(allowed bool) (verdict, acknowledgement time.Duration) {
	r.b.Helper()
	if allowed {
		read, _ := read.NetworkPolicy(r.policy)
		r.snapshot.UpsertPolicy(read)
	} else {
		r.snapshot.DeletePolicy(r.policy.Namespace, r.policy.Name)
	}
	if err := r.builder.Apply(r.compiler.Delta()); err != nil {
		r.b.Fatal(err)
	}
	r.generation++
	link, current := r.write(), filepath.Join(r.state, "tree", "current")
	r.first.Store(0)
	begin := now()
	if err := os.Rename(link, current); err != nil {
		r.b.Fatal(err)
	}
	r.engine.send(engineRequest{r.generation})
	// Send only a few datagrams at a time, because each datagram opens a connection.
	for allowed && r.first.Load() == 0 {
		if now()-begin > timeout {
			r.b.Fatalf("generation %d: no datagram came within %s", r.generation, timeout)
		}
		r.sender.call(sendRequest{Count: 50, PerSecond: 5000}, &sent{})
	}
	var done acknowledged
	r.engine.receive(&done)
	return time.Duration(r.first.Load()) - begin, done.At - begin
}

// write writes the tree of the current generation, and a symlink to this tree. The caller can
// then publish the tree by renaming the symlink.
func (r *revocation) write() (link string) {
	r.b.Helper()
	dir := filepath.Join(r.state, "tree")
	image, err := r.builder.Encode(r.generation)
	if err != nil {
		r.b.Fatal(err)
	}
	name := strconv.FormatUint(r.generation, 10) + ".tree"
	file, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		r.b.Fatal(err)
	}
	if _, err := image.WriteTo(file); err != nil {
		r.b.Fatal(err)
	}
	if err := file.Close(); err != nil {
		r.b.Fatal(err)
	}
	link = filepath.Join(dir, "next")
	if err := os.Symlink(name, link); err != nil {
		r.b.Fatal(err)
	}
	return link
}
