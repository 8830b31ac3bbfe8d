package lab_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/test/lab"
)

const (
	soon  = 500 * time.Millisecond
	never = 5 * time.Second
)

func newLab(t *testing.T) *lab.Lab {
	t.Helper()
	l, err := lab.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

func addNode(t *testing.T, l *lab.Lab, name string) *lab.Node {
	t.Helper()
	n, err := l.AddNode(name)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func addPod(t *testing.T, n *lab.Node, name string, addresses ...netip.Addr) *lab.Pod {
	t.Helper()
	p, err := n.AddPod(name, addresses...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func serve(t *testing.T, h *lab.Host, protocol flow.Protocol, port uint16) {
	t.Helper()
	for _, a := range h.Addresses() {
		if _, err := h.Serve(protocol, netip.AddrPortFrom(a, port)); err != nil {
			t.Fatal(err)
		}
	}
}

func wantResult(t *testing.T, from *lab.Host, protocol flow.Protocol, to netip.AddrPort, timeout time.Duration, want lab.Result) {
	t.Helper()
	got, err := from.Probe(t.Context(), protocol, netip.Addr{}, to, timeout)
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("%s %s -> %s: %s, want %s", protocol, from.Name(), to, got, want)
	}
}

func TestEveryAddressCanConnectToEveryOther(t *testing.T) {
	l := newLab(t)
	a, b := addNode(t, l, "a"), addNode(t, l, "b")
	if err := l.AddAddress(netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("2001:db8::9")); err != nil {
		t.Fatal(err)
	}
	hosts := []*lab.Host{
		l.Outside, a.Host, b.Host,
		addPod(t, a, "a/one").Host, addPod(t, a, "a/two").Host, addPod(t, b, "b/one").Host,
		addPod(t, a, "a/given", netip.MustParseAddr("10.9.8.7"), netip.MustParseAddr("fd99::7")).Host,
		addPod(t, b, "b/only-4", netip.MustParseAddr("10.244.2.200")).Host,
	}
	for _, h := range hosts {
		serve(t, h, flow.TCP, 80)
		serve(t, h, flow.UDP, 53)
	}
	for _, from := range hosts {
		for _, to := range hosts {
			for _, addr := range to.Addresses() {
				if _, ok := from.Address(addr); !ok {
					continue
				}
				wantResult(t, from, flow.TCP, netip.AddrPortFrom(addr, 80), never, lab.Connected)
				wantResult(t, from, flow.UDP, netip.AddrPortFrom(addr, 53), never, lab.Connected)
			}
		}
	}
}

func TestProbeDistinguishesRejectedFromDropped(t *testing.T) {
	l := newLab(t)
	n := addNode(t, l, "node")
	client, server := addPod(t, n, "client"), addPod(t, n, "server")
	for _, addr := range server.Addresses() {
		wantResult(t, client.Host, flow.TCP, netip.AddrPortFrom(addr, 80), never, lab.Rejected)
		wantResult(t, client.Host, flow.UDP, netip.AddrPortFrom(addr, 53), never, lab.Rejected)
	}
	if err := n.Sysctl("net/ipv4/ip_forward", "0"); err != nil {
		t.Fatal(err)
	}
	if err := n.Sysctl("net/ipv6/conf/all/forwarding", "0"); err != nil {
		t.Fatal(err)
	}
	for _, addr := range server.Addresses() {
		wantResult(t, client.Host, flow.TCP, netip.AddrPortFrom(addr, 80), soon, lab.TimedOut)
		wantResult(t, client.Host, flow.UDP, netip.AddrPortFrom(addr, 53), soon, lab.TimedOut)
	}
}

func TestPacketsBetweenPodsOfANodePassItsForwardHook(t *testing.T) {
	l := newLab(t)
	n := addNode(t, l, "node")
	client, server := addPod(t, n, "client"), addPod(t, n, "server")
	serve(t, server.Host, flow.TCP, 80)
	before := received(t, n.Host)
	for _, addr := range server.Addresses() {
		wantResult(t, client.Host, flow.TCP, netip.AddrPortFrom(addr, 80), never, lab.Connected)
	}
	// Each of the two TCP handshakes consists of three packets.
	if n := received(t, n.Host) - before; n < 2*3 {
		t.Errorf("the node received %d packets of two connections", n)
	}
}

func received(t *testing.T, h *lab.Host) uint64 {
	t.Helper()
	n, err := h.Received()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAddressOfARemovedPodIsFree(t *testing.T) {
	l := newLab(t)
	n := addNode(t, l, "node")
	addresses := []netip.Addr{netip.MustParseAddr("10.9.8.7"), netip.MustParseAddr("fd99::7")}
	client := addPod(t, n, "client")
	for _, name := range []string{"first", "second"} {
		server := addPod(t, n, name, addresses...)
		serve(t, server.Host, flow.TCP, 80)
		for _, a := range addresses {
			wantResult(t, client.Host, flow.TCP, netip.AddrPortFrom(a, 80), never, lab.Connected)
			wantResult(t, l.Outside, flow.TCP, netip.AddrPortFrom(a, 80), never, lab.Connected)
		}
		if err := n.RemovePod(server); err != nil {
			t.Fatal(err)
		}
		if err := server.Do(func() error { return nil }); err == nil {
			t.Error("a removed pod still runs functions")
		}
	}
}
