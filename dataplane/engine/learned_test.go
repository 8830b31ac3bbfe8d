package engine_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/lab"
)

// TestOtherInterfacesAreLearned checks that only the first packet of a host is held if the host
// is not a pod.
func TestOtherInterfacesAreLearned(t *testing.T) {
	s := newHoldFixture(t, 3*time.Second, allow)
	addresses := []netip.Addr{netip.MustParseAddr("172.17.0.2"), netip.MustParseAddr("fd00:172:17::2")}
	machine, err := s.node.AddPod("machine", addresses...)
	if err != nil {
		t.Fatal(err)
	}
	s.bridge("docker0", machine)
	connect := func(protocol flow.Protocol, from, to *lab.Host, like netip.Addr, port uint16, most time.Duration) {
		t.Helper()
		a, _ := to.Address(like)
		at := netip.AddrPortFrom(a, port)
		if _, err := to.Serve(protocol, at); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if got := s.probe(from, protocol, at); got != lab.Connected || time.Since(begin) > most {
			t.Errorf("%s to %s: %s after %s, want it connected within %s", protocol, at, got, time.Since(begin), most)
		}
	}
	connect(flow.TCP, machine.Host, s.lab.Outside, like4, 1000, 600*time.Millisecond)
	if h := s.held(); h.NotPods != 1 || fmt.Sprint(h.Learned) != "[docker0]" {
		t.Errorf("after the first packet: %+v", h)
	}
	eventually.True(t, "the rules contain the learned interface", func() bool {
		before := s.held().NotPods
		connect(flow.TCP, machine.Host, s.lab.Outside, like4, nextPort(), time.Second)
		return s.held().NotPods == before
	})
	before := s.held().NotPods
	for i := range uint16(20) {
		connect(flow.TCP, machine.Host, s.lab.Outside, like4, 1001+i, 250*time.Millisecond)
		connect(flow.UDP, machine.Host, s.two.Host, like6, 1001+i, 250*time.Millisecond)
		connect(flow.TCP, s.two.Host, machine.Host, like4, 1001+i, 250*time.Millisecond)
		connect(flow.TCP, machine.Host, s.node.Host, like6, 1001+i, 250*time.Millisecond)
	}
	if h := s.held(); h.NotPods != before || h.TimedOut+h.OverLimit > 0 {
		t.Errorf("after %d packets that were not held: %+v", before, h)
	}
	// The packets of a pod on the bridge are held.
	guest, err := s.node.AddPod("guest", netip.MustParseAddr("172.17.0.3"))
	if err != nil {
		t.Fatal(err)
	}
	s.enslave("docker0", guest)
	s.addToResults("lab/guest", guest)
	eventually.True(t, "docker0 is no longer learned", func() bool { return len(s.held().Learned) == 0 })
	// The rules are updated shortly after the holder has recorded the pod.
	eventually.True(t, "docker0 is no longer an uplink in the rules", func() bool {
		return !strings.Contains(s.uplinks(), `"docker0"`)
	})
	to := s.serve(s.two, flow.TCP, like4, 8000)
	waiting := s.begin(guest.Host, flow.TCP, to)
	s.addToTree("lab/guest", guest, allow)
	if a := <-waiting; a.result != lab.Connected {
		t.Errorf("a pod on the bridge: %s", a.result)
	}
}

// uplinks returns the set of uplinks in the rules, in the output format of nft.
func (s *holdFixture) uplinks() string {
	s.t.Helper()
	return runNft(s.t, s.node, "", "list", "set", "inet", "sluice", "uplinks")
}

// bridge adds a bridge and connects hosts to it.
func (s *holdFixture) bridge(name string, hosts ...*lab.Pod) {
	s.t.Helper()
	err := s.node.Do(func() error {
		return netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name}})
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.enslave(name, hosts...)
}

// enslave connects hosts to a bridge and adds the gateway addresses of the hosts to the bridge.
func (s *holdFixture) enslave(name string, hosts ...*lab.Pod) {
	s.t.Helper()
	err := s.node.Do(func() error {
		bridge, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		if err := netlink.LinkSetUp(bridge); err != nil {
			return err
		}
		for _, gateway := range []string{"169.254.1.1/32", "fe80::1/64", "172.17.0.1/16"} {
			address, err := netlink.ParseAddr(gateway)
			if err != nil {
				return err
			}
			address.Flags = unix.IFA_F_NODAD
			if err := netlink.AddrReplace(bridge, address); err != nil {
				return err
			}
		}
		for _, h := range hosts {
			link, err := netlink.LinkByName(h.Interface)
			if err != nil {
				return err
			}
			addresses, err := netlink.AddrList(link, netlink.FAMILY_ALL)
			if err != nil {
				return err
			}
			for _, a := range addresses {
				if err := netlink.AddrDel(link, &a); err != nil {
					return err
				}
			}
			if err := netlink.LinkSetMaster(link, bridge); err != nil {
				return err
			}
			for _, a := range h.Addresses() {
				route := &netlink.Route{LinkIndex: bridge.Attrs().Index, Scope: netlink.SCOPE_LINK, Dst: netlink.NewIPNet(a.AsSlice())}
				if err := netlink.RouteReplace(route); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
}
