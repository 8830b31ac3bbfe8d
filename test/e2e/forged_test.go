package e2e_test

import (
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/lab"
)

// silentIngress isolates pods with the label app=web for ingress, and allows nothing.
const silentIngress = `{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress]}`

// forge sends an IP packet to node one from a pod of the node or from the outside host. The
// packet can contain any source and destination addresses.
func (s *fixture) forge(from string, packet []byte) {
	s.t.Helper()
	out, in := "eth0", "eth0"
	if from == "outside" {
		out = s.nodes["one"].Port()
	} else {
		in = s.pod(from).Interface
	}
	s.must(s.host(from).SendFrame(out, s.hardwareAddress(s.nodes["one"].Host, in), packet))
}

// hardwareAddress returns the Ethernet address of an interface. If the interface is a port of a
// bridge, hardwareAddress returns the address of the bridge.
func (s *fixture) hardwareAddress(h *lab.Host, link string) (address net.HardwareAddr) {
	s.t.Helper()
	s.must(h.Do(func() error {
		l, err := netlink.LinkByName(link)
		if err == nil && l.Attrs().MasterIndex != 0 {
			l, err = netlink.LinkByIndex(l.Attrs().MasterIndex)
		}
		if err == nil {
			address = l.Attrs().HardwareAddr
		}
		return err
	}))
	return address
}

// neverResets prevents a host from sending TCP resets. If another host forges this host's address
// to open a connection, this host would otherwise reset the connection.
func (s *fixture) neverResets(h *lab.Host) {
	s.t.Helper()
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader("table inet quiet { chain output { type filter hook output priority 0; tcp flags & rst == rst drop; }; }")
	if err := h.Start(cmd); err != nil {
		s.t.Fatal(err)
	}
	s.must(cmd.Wait())
}

// The method `answers` reports whether the server at dst replies to a client that sends from the
// address and port in src.
func (s *fixture) answers(from *lab.Host, protocol flow.Protocol, src, dst netip.AddrPort, timeout time.Duration) bool {
	s.t.Helper()
	answered := false
	s.must(from.Do(func() error {
		deadline := time.Now().Add(timeout)
		d := net.Dialer{Deadline: deadline, LocalAddr: net.UDPAddrFromAddrPort(src)}
		if protocol == flow.TCP {
			d.LocalAddr = net.TCPAddrFromAddrPort(src)
		}
		conn, err := d.DialContext(s.t.Context(), strings.ToLower(protocol.String()), dst.String())
		if err != nil {
			return nil // The server did not answer.
		}
		defer func() { _ = conn.Close() }()
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
		if _, err = conn.Write([]byte("hello")); err == nil {
			_, err = conn.Read(make([]byte, 8))
		}
		answered = err == nil
		return nil
	}))
	return answered
}

// The attacker is a pod that no policy isolates, or the outside host. It sends a packet to its own
// address, with the source address of an isolated pod. If connection tracking kept an entry for
// this packet, later packets from the attacker to the isolated pod would be treated as replies.
func TestS56bForgedBeginnings(t *testing.T) {
	t.Parallel()
	for _, deny := range []string{"Drop", "Reject"} {
		t.Run(deny, func(t *testing.T) {
			t.Parallel()
			s := newFixture(t, map[string]string{"shop/web": silentIngress}, "--deny", deny)
			s.linked("shop/web")
			port := uint16(40000)
			for _, from := range []string{"lab/probe", "outside"} {
				s.neverResets(s.host(from))
				for _, filter := range []string{"0", "2"} {
					s.must(s.nodes["one"].Sysctl("net/ipv4/conf/all/rp_filter", filter))
					for _, like := range families {
						for _, protocol := range []flow.Protocol{flow.TCP, flow.UDP} {
							port++
							s.wantForgedBeginning(from, protocol, like, port, fmt.Sprintf("rp_filter %s", filter))
						}
					}
				}
			}
		})
	}
}

// wantForgedBeginning makes a host send a packet to a port of its own address, with the source
// address of shop/web. After that, connections from this port must not reach shop/web, but must
// still reach a pod that no policy isolates.
func (s *fixture) wantForgedBeginning(from string, protocol flow.Protocol, like netip.Addr, port uint16, when string) {
	s.t.Helper()
	attacker := netip.AddrPortFrom(s.address(from, like), port)
	victim := netip.AddrPortFrom(s.address("shop/web", like), 7)
	other := "shop/db"
	if from == other {
		other = "lab/probe"
	}
	open := netip.AddrPortFrom(s.address(other, like), 7)
	server := s.serverAt(s.host("shop/web"), protocol, victim)
	s.serverAt(s.host(other), protocol, open)

	before := server.Served()
	if protocol == flow.TCP {
		s.forge(from, lab.Segment(victim, attacker, lab.SYN))
	} else {
		s.forge(from, lab.Datagram(victim, attacker, []byte("!")))
	}
	if got := s.answers(s.host(from), protocol, attacker, victim, silence); got || server.Served() != before {
		s.t.Errorf("%s: %s reaches the isolated pod by %s over %s after a forged packet", when, from, protocol, familyName(like))
	}
	if !s.answers(s.host(from), protocol, attacker, open, limit) {
		s.t.Errorf("%s: %s does not reach the pod that is not isolated by %s over %s", when, from, protocol, familyName(like))
	}
}

// The method `linked` waits until the sets linked4 and linked6 contain the addresses of the pod.
// Packets with these source addresses can then open connections only if they arrive on the pod's
// interface.
func (s *fixture) linked(pod string) {
	s.t.Helper()
	for i, set := range []string{"linked4", "linked6"} {
		address := s.pod(pod).Addresses()[i].String()
		eventually.True(s.t, pod+" is in "+set, func() bool {
			return strings.Contains(s.nft("", "list", "set", "inet", "sluice", set), address)
		})
	}
}

// Policies may allow packets from a local pod. Another host must not benefit from this by sending
// packets with the source address of the pod. Not even a single datagram arrives.
func TestS56bForgedPeers(t *testing.T) {
	t.Parallel()
	s := newFixture(t, map[string]string{"shop/web": onlyProbeByUDP}, "--deny", "Drop")
	s.linked("lab/probe")
	port := uint16(41000)
	for _, like := range families {
		dst := netip.AddrPortFrom(s.address("shop/web", like), 9)
		server := s.serverAt(s.host("shop/web"), flow.UDP, dst)
		for _, from := range []string{"shop/db", "outside"} {
			// Use a port without an open connection. In an open connection, a forged packet
			// would be accepted.
			port++
			src := netip.AddrPortFrom(s.address("lab/probe", like), port)
			before := server.Served()
			s.forge(from, lab.Datagram(src, dst, []byte("!")))
			s.wantOnlyPeer(server, before, src, dst)
		}
	}
}

// wantOnlyPeer is called after another host has sent forged datagrams with the source address of
// lab/probe. It checks that a server has received none of them. For this check, lab/probe itself
// sends a datagram, and wantOnlyPeer waits for the reply. This datagram arrives after all
// datagrams that were sent earlier. The `before` parameter is the number of datagrams that the
// server had received before the forged datagrams were sent.
func (s *fixture) wantOnlyPeer(server *lab.Server, before uint64, src, dst netip.AddrPort) {
	s.t.Helper()
	if !s.answers(s.host("lab/probe"), flow.UDP, src, dst, limit) {
		s.t.Errorf("lab/probe does not reach %s", dst)
	}
	if got := server.Served() - before; got != 1 {
		s.t.Errorf("%d datagrams from %s reached %s, want that of lab/probe", got, src, dst)
	}
}

const onlyProbeByUDP = `{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress], ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: probe}}}], ports: [{port: 9, protocol: UDP}]}]}`

// A program on the node, such as a transparent proxy, can send packets with a pod's source address
// to the addresses of the node.
func TestPodAddressesThatTheNodeSendsFrom(t *testing.T) {
	t.Parallel()
	s := newFixture(t, map[string]string{"shop/web": silentIngress})
	s.linked("shop/db")
	for _, like := range families {
		dst := netip.AddrPortFrom(s.address("node:one", like), 9)
		server := s.serverAt(s.host("node:one"), flow.UDP, dst)
		packet := lab.Datagram(netip.AddrPortFrom(s.address("shop/db", like), 41000), dst, []byte("!"))
		s.must(s.nodes["one"].SendFrame("lo", make(net.HardwareAddr, 6), packet))
		eventually.True(t, "the datagram arrives over "+familyName(like), func() bool { return server.Served() == 1 })
	}
}

// The table `untracked` disables connection tracking for DNS. NodeLocal DNSCache does the same for
// its own address.
const untracked = `
table inet untracked {
	chain prerouting {
		type filter hook prerouting priority raw;
		udp dport 53 notrack
		udp sport 53 notrack
	}
	chain output {
		type filter hook output priority raw;
		udp dport 53 notrack
		udp sport 53 notrack
	}
}
`

// Every packet that connection tracking ignores is evaluated, and the source address of the
// packet is validated.
func TestUntrackedPackets(t *testing.T) {
	t.Parallel()
	s := newCluster(t, map[string]string{"shop/web": `{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress, Egress],
		ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: probe}}}], ports: [{port: 53, protocol: UDP}]}],
		egress: [{to: [{ipBlock: {cidr: 192.168.126.1/32}}, {ipBlock: {cidr: "fd00:192:168:126::1/128"}}, {namespaceSelector: {}, podSelector: {matchLabels: {app: probe}}}]}]}`})
	s.nft(untracked, "-f", "-")
	s.start()
	s.linked("lab/probe")
	s.want(`
		shop/web  -> node:one UDP 53 allowed
		shop/db   -> node:one UDP 53 allowed
		lab/probe -> shop/web UDP 53 allowed
		shop/db   -> lab/far  UDP 53 allowed
		lab/far   -> shop/db  UDP 53 allowed
		shop/db   -> shop/web UDP 53 denied
		shop/web  -> lab/far  UDP 53 denied
	`)
	for _, like := range families {
		dst := netip.AddrPortFrom(s.address("shop/web", like), 53)
		server := s.serverAt(s.host("shop/web"), flow.UDP, dst)
		before := server.Served()
		s.forge("shop/db", lab.Datagram(netip.AddrPortFrom(s.address("lab/probe", like), 41000), dst, []byte("!")))
		s.wantOnlyPeer(server, before, netip.AddrPortFrom(s.address("lab/probe", like), 41000), dst)
	}
}
