package e2e_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/status"
	"github.com/sluicenet/sluice/test/eventually"
)

// keepsSending sends 500 datagrams per second over a connection until the test ends.
func (s *fixture) keepsSending(conn net.Conn) {
	s.t.Helper()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for range tick.C {
			if _, err := conn.Write([]byte("!")); err != nil && strings.Contains(err.Error(), "closed") {
				return
			}
		}
	}()
	s.t.Cleanup(func() { _ = conn.Close(); <-ended })
}

// wantPodPackets waits until the field PodPackets of the dataplane's status meets a
// condition. The `what` parameter describes the condition in the failure message.
func (s *fixture) wantPodPackets(what string, meets func(p *report.PodPackets) bool) {
	s.t.Helper()
	eventually.NoError(s.t, func() error {
		got, err := status.Read(s.t.Context(), s.plane.stateDir)
		if err != nil || got.PodPackets == nil || !meets(got.PodPackets) {
			return fmt.Errorf("%s: %+v, %w", what, got.PodPackets, err)
		}
		return nil
	})
}

// redirect attaches an eBPF program to the interface of the pod `from`. The program redirects every
// packet of this pod to the interface of the pod `to`. These packets bypass netfilter. The eBPF
// host routing of some CNI plugins works in the same way.
func (s *fixture) redirect(from, to string) {
	s.t.Helper()
	s.must(s.nodes["one"].Do(func() error {
		source, err := netlink.LinkByName(s.pod(from).Interface)
		if err != nil {
			return err
		}
		target, err := netlink.LinkByName(s.pod(to).Interface)
		if err != nil {
			return err
		}
		program, err := redirectProgram(uint32(target.Attrs().Index))
		if err != nil {
			return fmt.Errorf("loading an eBPF program: %w", err)
		}
		defer unix.Close(program)
		number := source.Attrs().Index
		qdisc := &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
			LinkIndex: number, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
		}}
		filter := &netlink.BpfFilter{
			FilterAttrs: netlink.FilterAttrs{
				LinkIndex: number, Parent: netlink.HANDLE_MIN_INGRESS, Handle: 1, Protocol: unix.ETH_P_ALL, Priority: 1,
			},
			Fd: program, Name: "redirect", DirectAction: true,
		}
		return errors.Join(netlink.QdiscAdd(qdisc), netlink.FilterAdd(filter))
	}))
}

// redirectProgram loads an eBPF program that sends every packet out of the interface with the given
// index. It returns the file descriptor of the program.
func redirectProgram(index uint32) (int, error) {
	const redirect = 23 // The helper bpf_redirect of include/uapi/linux/bpf.h.
	instructions := [...]struct {
		code, registers uint8
		offset          int16
		value           uint32
	}{
		{unix.BPF_ALU64 | unix.BPF_MOV, 1, 0, index}, // r1 = index
		{unix.BPF_ALU64 | unix.BPF_MOV, 2, 0, 0},     // r2 = 0, the direction egress
		{unix.BPF_JMP | unix.BPF_CALL, 0, 0, redirect},
		{unix.BPF_JMP | unix.BPF_EXIT, 0, 0, 0},
	}
	license := [...]byte{'G', 'P', 'L', 0}
	attributes := struct {
		kind, count           uint32
		instructions, license unsafe.Pointer
	}{unix.BPF_PROG_TYPE_SCHED_CLS, uint32(len(instructions)), unsafe.Pointer(&instructions), unsafe.Pointer(&license)}
	fd, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_LOAD, uintptr(unsafe.Pointer(&attributes)), unsafe.Sizeof(attributes))
	if errno != 0 {
		return 0, errno
	}
	return int(fd), nil
}

// datagramsToWeb makes the pod shop/db send datagrams to the pod shop/web.
func (s *fixture) datagramsToWeb() {
	s.t.Helper()
	conn, err := s.host("shop/db").Dial(s.t.Context(), flow.UDP, netip.Addr{}, netip.AddrPortFrom(s.address("shop/web", families[0]), 9))
	s.must(err)
	s.keepsSending(conn)
}

// If packets of a pod bypass netfilter, no policy applies to them. The status then names the
// interface and the pod.
func TestPacketsThatBypassNetfilter(t *testing.T) {
	t.Parallel()
	s := newFixture(t, map[string]string{"shop/web": onlyProbe}, "--deny", "Drop")
	s.datagramsToWeb()
	s.wantPodPackets("the packets of shop/db are observed", func(p *report.PodPackets) bool {
		return p.Observed == 1 && p.Bypassed == 0
	})
	s.redirect("shop/db", "shop/web")
	s.wantPodPackets("the packets of shop/db bypass netfilter", func(p *report.PodPackets) bool {
		return p.Observed == 0 && p.Bypassed == 1 && p.Examples[0].Pod == "shop/db" &&
			p.Examples[0].Interface == s.pod("shop/db").Interface && p.Examples[0].Sent >= 100 && !p.Examples[0].Bridge
	})
}

// While br_netfilter is off, packets between the pods of a bridge bypass netfilter. The pod
// shop/web replies to each datagram with an ICMP error through its gateway, which is the bridge
// itself. These errors still reach the rules.
func TestPacketsOnABridgeThatBypassNetfilter(t *testing.T) {
	t.Parallel()
	s := newCluster(t, map[string]string{"shop/web": onlyProbe})
	s.bridge()
	s.must(s.host("shop/db").Do(func() error {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		// Without this route, the pod sends the packets to its gateway, which is the node.
		to, err := netlink.ParseIPNet(s.address("shop/web", families[0]).String() + "/32")
		if err != nil {
			return err
		}
		return netlink.RouteReplace(&netlink.Route{LinkIndex: link.Attrs().Index, Scope: netlink.SCOPE_LINK, Dst: to})
	}))
	s.start("--deny", "Drop")
	s.datagramsToWeb()
	s.wantPodPackets("the packets of shop/db are observed", func(p *report.PodPackets) bool {
		return p.Observed == 1 && p.Bypassed == 0
	})
	s.must(s.nodes["one"].Sysctl("net/bridge/bridge-nf-call-iptables", "0"))
	s.wantPodPackets("the packets of the bridge bypass netfilter", func(p *report.PodPackets) bool {
		return p.Observed == 0 && p.Bypassed == 1 && p.Examples[0].Interface == "cni0" && p.Examples[0].Bridge
	})
}
