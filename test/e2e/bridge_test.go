package e2e_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/lab"
)

// priorityTags contains lists of VLAN tags. All tags have VLAN ID 0, so a pod accepts a frame with
// such tags as if the frame were untagged.
var priorityTags = [][]lab.Tag{
	{{Type: unix.ETH_P_8021Q}},
	{{Type: unix.ETH_P_8021AD}},
	{{Type: unix.ETH_P_8021Q}, {Type: unix.ETH_P_8021Q}},
	{{Type: unix.ETH_P_8021AD}, {Type: unix.ETH_P_8021Q}},
	{{Type: unix.ETH_P_8021Q}, {Type: unix.ETH_P_8021AD}},
}

// wantTagged sends frames from shop/db to shop/web: for each address family, one frame with
// each list of tags in priorityTags. If the `want` parameter is true, the datagrams in these
// frames must arrive. Otherwise none of them may arrive.
func (s *fixture) wantTagged(when string, want bool) {
	s.t.Helper()
	to := s.hardwareAddress(s.host("shop/web"), "eth0")
	for _, like := range families {
		src := netip.AddrPortFrom(s.address("shop/db", like), 40000)
		dst := netip.AddrPortFrom(s.address("shop/web", like), 9)
		server := s.serverAt(s.host("shop/web"), flow.UDP, dst)
		for _, tags := range priorityTags {
			before := server.Served()
			s.must(s.host("shop/db").SendFrame("eth0", to, lab.Datagram(src, dst, []byte("!")), tags...))
			// Then send a datagram from the node to the pod, and wait for the reply. When the
			// reply arrives, the tagged frame has already arrived or has been dropped.
			if !s.answers(s.nodes["one"].Host, flow.UDP, netip.AddrPortFrom(s.address("node:one", like), 0), dst, limit) {
				s.t.Fatalf("%s: the node does not reach the pod over %s", when, familyName(like))
			}
			if got := server.Served()-before > 1; got != want {
				s.t.Errorf("%s: a frame with tags %x arrives over %s: %t, want %t", when, tags, familyName(like), got, want)
			}
		}
	}
}

// wantPorts waits until the set of ports in the bridge table is equal to the `ports` parameter.
// If ports is empty, wantPorts waits until the set is empty or the table does not exist.
func (s *fixture) wantPorts(when string, ports ...string) {
	s.t.Helper()
	slices.Sort(ports)
	var got []string
	eventually.True(s.t, when+": ports "+strings.Join(ports, ", "), func() bool {
		got = nil
		_, set, _ := strings.Cut(s.nft("", "list", "ruleset", "bridge"), "set ports {")
		set, _, _ = strings.Cut(set, "\tset ")
		for _, name := range strings.Split(set, `"`) {
			if strings.HasPrefix(name, "pod-") {
				got = append(got, name)
			}
		}
		slices.Sort(got)
		return slices.Equal(got, ports)
	})
}

// The method `bridgedPods` returns the names of the interfaces through which node one reaches its
// pods.
func (s *fixture) bridgedPods() []string {
	s.t.Helper()
	var out []string
	for name, pod := range s.pods {
		if name != "lab/far" {
			out = append(out, pod.Interface)
		}
	}
	return out
}

// Policies apply to isolated pods on a bridge even if the packets arrive in frames with a VLAN
// tag.
func TestTaggedFramesOnABridge(t *testing.T) {
	t.Parallel()
	s := newCluster(t, map[string]string{})
	s.bridge()
	s.wantTagged("without a dataplane", true)
	s.start()
	s.wantTagged("without policies", true)

	s.set("shop/web", silentIngress)
	s.enforce()
	s.wantPorts("isolated", s.bridgedPods()...)
	s.wantTagged("isolated", false)
	s.want(`
		shop/db   -> shop/web  UDP 9  denied
		shop/db   -> lab/probe UDP 9  allowed
		shop/web  -> outside   TCP 80 allowed
		lab/far   -> shop/db   TCP 80 allowed
		node:one  -> shop/web  TCP 80 allowed
	`)
	if diff := cmp.Diff([]string{"cni0"}, s.plane.status().Bridges.Names); diff != "" {
		t.Errorf("bridges (-want +got):\n%s", diff)
	}

	repairs := s.plane.status().Repairs
	s.nft("", "delete", "table", "bridge", "sluice")
	eventually.True(t, "the table is repaired", func() bool { return s.plane.status().Repairs > repairs })
	s.wantPorts("repaired", s.bridgedPods()...)
	s.wantTagged("repaired", false)

	gone := s.pod("lab/probe")
	delete(s.pods, "lab/probe")
	s.must(s.nodes["one"].RemovePod(gone))
	s.wantPorts("a pod is gone", s.bridgedPods()...)

	s.remove("shop/web")
	s.enforce()
	s.wantPorts("no pod is isolated")
	s.wantTagged("no pod is isolated", true)

	s.set("shop/web", silentIngress)
	s.enforce()
	s.wantPorts("isolated again", s.bridgedPods()...)
	s.plane.stop()
	s.wantTagged("stopped", false)
	if out := s.uninstall(); !strings.Contains(out, "bridge sluice") || !strings.Contains(out, "nothing is left") {
		t.Errorf("output of uninstalling: %s", out)
	}
	if got := s.nft("", "list", "ruleset"); got != "" {
		t.Errorf("rules after uninstalling:\n%s", got)
	}
}

// If br_netfilter is disabled, packets between pods on the same bridge bypass the rules. The
// status of the dataplane then contains the name of the disabled setting.
func TestBridgeWithoutNetfilter(t *testing.T) {
	t.Parallel()
	s := newCluster(t, map[string]string{"shop/web": silentIngress})
	s.bridge()
	s.must(s.nodes["one"].Sysctl("net/bridge/bridge-nf-call-ip6tables", "0"))
	s.start()
	s.wantPorts("isolated", s.bridgedPods()...)
	want := func(disabled ...string) {
		t.Helper()
		got := s.plane.status().Bridges
		if got == nil || !slices.Equal(got.Disabled, disabled) || got.TaggedFrames != "" {
			t.Errorf("bridges: %+v, want %v disabled", got, disabled)
		}
	}
	want("net.bridge.bridge-nf-call-ip6tables")
	s.must(s.nodes["one"].Sysctl("net/bridge/bridge-nf-call-ip6tables", "1"))
	want()
	s.must(s.nodes["one"].Sysctl("net/bridge/bridge-nf-call-iptables", "0"))
	want("net.bridge.bridge-nf-call-iptables")
}

// cniResults writes a CNI result for each pod of node one into a new directory, and returns the
// directory. A container runtime writes the same results after the CNI plugin bridge has
// connected the pods.
func (s *fixture) cniResults() string {
	s.t.Helper()
	dir := s.t.TempDir()
	for name, pod := range s.pods {
		if name == "lab/far" {
			continue
		}
		namespace, short, _ := strings.Cut(name, "/")
		var ips []string
		for _, a := range pod.Addresses() {
			ips = append(ips, fmt.Sprintf(`{"address": "%s/%d"}`, a, a.BitLen()))
		}
		content := fmt.Sprintf(`{"kind": "cniCacheV1", "containerId": %q, "ifName": "eth0", "networkName": "pods",
			"cniArgs": [["K8S_POD_NAMESPACE", %q], ["K8S_POD_NAME", %q], ["K8S_POD_UID", "1"]],
			"result": {"cniVersion": "1.0.0", "interfaces": [{"name": "cni0"}, {"name": %q}, {"name": "eth0", "sandbox": "/run/netns/x"}], "ips": [%s]}}`,
			short, namespace, short, pod.Interface, strings.Join(ips, ", "))
		s.must(os.WriteFile(filepath.Join(dir, "pods-"+short+"-eth0"), []byte(content), 0o600))
	}
	return dir
}

// If the node has CNI results that name the pods' interfaces, forged packets on a bridge are
// dropped: a pod cannot send packets with the source address of another pod on the same bridge.
func TestS56bForgedBeginningsOnABridge(t *testing.T) {
	t.Parallel()
	s := newCluster(t, map[string]string{"shop/web": onlyProbeByUDP})
	s.bridge()
	s.start("--cni-results", s.cniResults())
	for i, set := range []string{"owners4", "owners6"} {
		for _, pod := range []string{"shop/web", "shop/db", "lab/probe"} {
			want := fmt.Sprintf("%q . %s", s.pod(pod).Interface, s.pod(pod).Addresses()[i])
			eventually.True(t, want+" is in "+set, func() bool {
				return strings.Contains(s.nft("", "list", "set", "bridge", "sluice", set), want)
			})
		}
	}
	s.want(`
		shop/db   -> shop/web  UDP 9  denied
		shop/db   -> lab/probe TCP 80 allowed
		shop/db   -> lab/probe UDP 80 allowed
		shop/db   -> lab/probe ICMP   allowed
		lab/probe -> shop/web  UDP 9  allowed
		shop/web  -> outside   TCP 80 allowed
		shop/db   -> node:one  TCP 80 allowed
		node:one  -> shop/web  TCP 80 allowed
		lab/far   -> shop/db   UDP 80 allowed
	`)
	port := uint16(40000)
	s.neverResets(s.host("shop/db"))
	for _, like := range families {
		for _, protocol := range []flow.Protocol{flow.TCP, flow.UDP} {
			port++
			s.wantForgedBeginning("shop/db", protocol, like, port, "on a bridge")
		}
		// From shop/db, send datagrams with the source address of lab/probe. The policy allows
		// datagrams from this address.
		src := netip.AddrPortFrom(s.address("lab/probe", like), 41000)
		dst := netip.AddrPortFrom(s.address("shop/web", like), 9)
		server := s.serverAt(s.host("shop/web"), flow.UDP, dst)
		before := server.Served()
		s.must(s.host("shop/db").SendFrame("eth0", s.hardwareAddress(s.host("shop/web"), "eth0"), lab.Datagram(src, dst, []byte("!"))))
		s.forge("shop/db", lab.Datagram(src, dst, []byte("!")))
		s.wantOnlyPeer(server, before, src, dst)
	}
	// The bridge still forwards ARP and neighbor discovery, so the hosts can resolve the
	// addresses of their neighbors again.
	for _, h := range []*lab.Host{s.nodes["one"].Host, s.host("shop/web"), s.host("lab/probe")} {
		s.forgetNeighbours(h)
	}
	s.want(`lab/probe -> shop/web UDP 9 allowed`)
}
