package e2e_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/lab"
)

// priorityTags contains the combinations of tags with VLAN number 0 that a pod accepts like
// an untagged frame.
var priorityTags = [][]lab.Tag{
	{{Type: unix.ETH_P_8021Q}},
	{{Type: unix.ETH_P_8021AD}},
	{{Type: unix.ETH_P_8021Q}, {Type: unix.ETH_P_8021Q}},
	{{Type: unix.ETH_P_8021AD}, {Type: unix.ETH_P_8021Q}},
	{{Type: unix.ETH_P_8021Q}, {Type: unix.ETH_P_8021AD}},
}

// wantTagged sends one frame of each kind from shop/db to shop/web, and checks whether the
// datagrams in these frames arrive.
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
			arrives := func() bool { return server.Served() > before }
			if want {
				eventually.True(s.t, fmt.Sprintf("%s: a frame with tags %x arrives over %s", when, tags, familyName(like)), arrives)
				continue
			}
			time.Sleep(silence / 4)
			if arrives() {
				s.t.Errorf("%s: a frame with tags %x arrived over %s", when, tags, familyName(like))
			}
		}
	}
}

// wantPorts waits until the bridge table contains these ports and no others. Without ports,
// it waits until the table does not exist.
func (s *fixture) wantPorts(when string, ports ...string) {
	s.t.Helper()
	slices.Sort(ports)
	var got []string
	eventually.True(s.t, when+": ports "+strings.Join(ports, ", "), func() bool {
		got = nil
		if strings.Contains(s.nft("", "list", "tables"), "table bridge sluice") {
			_, elements, _ := strings.Cut(s.nft("", "list", "set", "bridge", "sluice", "ports"), "elements = {")
			for _, name := range strings.Split(elements, `"`) {
				if strings.HasPrefix(name, "pod-") {
					got = append(got, name)
				}
			}
			slices.Sort(got)
		}
		return slices.Equal(got, ports)
	})
}

// bridgedPods returns the interfaces of the pods of node one.
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

// While isolated pods are on a bridge, frames with a VLAN tag do not reach them past the
// policies.
func TestTaggedFramesOnABridge(t *testing.T) {
	t.Parallel()
	s := newCluster(t, map[string]string{})
	s.bridge("cni0")
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

// Without br_netfilter, packets between the pods of a bridge bypass the rules, and the
// status says so.
func TestBridgeWithoutNetfilter(t *testing.T) {
	t.Parallel()
	s := newCluster(t, map[string]string{"shop/web": silentIngress})
	s.bridge("cni0")
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
