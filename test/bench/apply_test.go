package bench_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/test/cluster"
	"github.com/sluicenet/sluice/test/lab"
	"github.com/sluicenet/sluice/test/labcluster"
	"github.com/sluicenet/sluice/test/stage"
)

const (
	// streamPort is the UDP port of a connection that stays open during the benchmark.
	streamPort = 7778
	// silence is the time after which the open connection counts as cut if no packet has
	// arrived.
	silence = 300 * time.Millisecond
)

// BenchmarkApply measures the time from a change of a policy at the API server until the change has
// an effect on packets. The cluster has 10,000 pods and 1,000 policies on a real API server, and
// one node that runs an agent and a dataplane. Each measured time starts when the write to the API
// server returns. The benchmark reports two times:
//
//   - apply: the time until the arrival of the first packet that the changed policy allows. To
//     detect this packet, the benchmark sends 5,000 datagrams per second, each in a new flow.
//   - revoke: the time until the arrival of the last packet on an open connection that the changed
//     policy denies.
func BenchmarkApply(b *testing.B) {
	a := newApplication(b)
	var applied, revoked []time.Duration
	for range choose(100, 3) {
		applied = append(applied, a.allow())
		revoked = append(revoked, a.forbid())
	}
	for _, row := range []struct {
		name  string
		times []time.Duration
	}{{"apply", applied}, {"revoke", revoked}} {
		slices.Sort(row.times)
		report(b, row.name, map[string]float64{
			"p50-ns/op": quantile(row.times, 0.5),
			"p99-ns/op": quantile(row.times, 0.99),
			"max-ns/op": quantile(row.times, 1),
		})
	}
}

// application is a cluster with a client, a server and a policy. The policy alternately allows
// and denies connections from the client to the server.
type application struct {
	b       *testing.B
	cluster *labcluster.Cluster
	policy  *networkingv1.NetworkPolicy
	allowed []networkingv1.NetworkPolicyIngressRule
	prober  *child
	// `first` is the arrival time of the first packet of a new flow after the `allow` method has
	// set this field to 0. `last` is the arrival time of the newest packet of the open connection.
	// Both times are in nanoseconds since the machine was booted.
	first, last atomic.Int64
}

func newApplication(b *testing.B) *application {
	b.Helper()
	program := buildProgram(b)
	a := &application{b: b}
	var err error
	if a.cluster, err = labcluster.New(b.Context(), labcluster.Options{Program: program, Nodes: 1}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := a.cluster.Close(); err != nil {
			b.Error(err)
		}
	})
	node := a.cluster.Node(0).Name()
	fill(b, a.cluster.Server(), cluster.NewRealistic(1, cluster.Size{Pods: choose(pods, 200), Policies: choose(policies, 20)}), node)
	client, server := a.pod("client", node), a.pod("server", node)
	a.isolate()
	a.must(a.cluster.WaitEnforced(b.Context()))
	from, to := ipv4(client), ipv4(server)
	a.receive(server, netip.AddrPortFrom(to, probePort), &a.first, false)
	a.receive(server, netip.AddrPortFrom(to, streamPort), &a.last, true)
	a.stream(client, netip.AddrPortFrom(to, streamPort))
	a.prober = start(b, client.Host, "send", sendConfig{Flows: []udpFlow{{from, to, probePort}}})
	return a
}

func (a *application) must(err error) {
	a.b.Helper()
	if err != nil {
		a.cluster.WriteLogs(a.b.Output())
		a.b.Fatal(err)
	}
}

func ipv4(p *lab.Pod) netip.Addr {
	address, _ := p.Address(netip.IPv4Unspecified())
	return address
}

// pod creates a pod and waits until it runs.
func (a *application) pod(name, node string) *lab.Pod {
	a.b.Helper()
	a.must(a.cluster.Client().Create(a.b.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: name, Labels: map[string]string{"app": name}},
		Spec:       corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: name, Image: name}}},
	}))
	a.must(a.cluster.WaitRunning(a.b.Context(), metav1.NamespaceDefault))
	return a.cluster.Pod(metav1.NamespaceDefault, name)
}

// isolate creates the policy. At first, the policy allows no connection.
func (a *application) isolate() {
	a.b.Helper()
	a.policy = stage.Policy(a.b, "default/server", `{podSelector: {matchLabels: {app: server}}, policyTypes: [Ingress]}`)
	a.allowed = stage.Policy(a.b, "default/server", fmt.Sprintf(
		`{ingress: [{from: [{podSelector: {matchLabels: {app: client}}}], ports: [{protocol: UDP, port: %d}, {protocol: UDP, port: %d}]}]}`,
		probePort, streamPort)).Spec.Ingress
	a.must(a.cluster.Client().Create(a.b.Context(), a.policy))
}

// write changes the policy, and returns the time at which the API server has replied.
func (a *application) write(rules []networkingv1.NetworkPolicyIngressRule) time.Duration {
	a.b.Helper()
	a.policy.Spec.Ingress = rules
	a.must(a.cluster.Client().Update(a.b.Context(), a.policy))
	return now()
}

// allow changes the policy so that it allows the connections. It returns the time from this
// change until the first packet of a new flow arrives. In addition, it waits until packets of
// the open connection arrive again.
func (a *application) allow() time.Duration {
	a.b.Helper()
	a.first.Store(0)
	var written time.Duration
	var wait sync.WaitGroup
	wait.Go(func() { written = a.write(a.allowed) })
	deadline := now() + timeout
	// Send only a few datagrams at a time, because each datagram opens a connection.
	for a.first.Load() == 0 {
		if now() > deadline {
			a.b.Fatalf("no datagram came within %s", timeout)
		}
		a.prober.call(sendRequest{Count: 20, PerSecond: 5000}, &sent{})
	}
	wait.Wait()
	for time.Duration(a.last.Load()) < written {
		if now() > deadline {
			a.b.Fatalf("the open connection does not continue within %s", timeout)
		}
		<-time.After(time.Millisecond)
	}
	// The difference is negative if a packet arrives before the write has returned. This is
	// possible because the agent can receive the change earlier than this process receives the
	// response.
	return max(0, time.Duration(a.first.Load())-written)
}

// forbid changes the policy so that it denies the connections. It returns the time from this
// change until the last packet of the open connection arrived.
func (a *application) forbid() time.Duration {
	a.b.Helper()
	written := a.write(nil)
	for now()-time.Duration(a.last.Load()) < silence {
		if now()-written > timeout {
			a.b.Fatalf("the open connection is not cut within %s", timeout)
		}
		<-time.After(time.Millisecond)
	}
	return max(0, time.Duration(a.last.Load())-written)
}

// receive receives packets and stores an arrival time in `arrival`. If `last` is true, this is the
// time of the newest packet. Otherwise it is the time of the first packet since `arrival` was set
// to 0.
func (a *application) receive(server *lab.Pod, at netip.AddrPort, arrival *atomic.Int64, last bool) {
	a.b.Helper()
	var conn *net.UDPConn
	a.must(server.Do(func() (err error) {
		conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		return err
	}))
	a.b.Cleanup(func() { _ = conn.Close() })
	go func() {
		data := make([]byte, datagramSize)
		for {
			if _, _, err := conn.ReadFromUDPAddrPort(data); err != nil {
				return
			}
			if last {
				arrival.Store(int64(now()))
			} else {
				arrival.CompareAndSwap(0, int64(now()))
			}
		}
	}()
}

// stream sends a datagram over the same connection every millisecond.
func (a *application) stream(client *lab.Pod, to netip.AddrPort) {
	a.b.Helper()
	var conn *net.UDPConn
	a.must(client.Do(func() (err error) {
		conn, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
		return err
	}))
	stop := make(chan struct{})
	var ended sync.WaitGroup
	a.b.Cleanup(func() { close(stop); ended.Wait(); _ = conn.Close() })
	ended.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for i := uint64(0); ; i++ {
			// Ignore the error: it reports an ICMP error that quotes an earlier datagram.
			_, _ = conn.Write(binary.BigEndian.AppendUint64(nil, i))
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
	})
}
