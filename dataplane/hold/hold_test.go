package hold

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/link"
	"github.com/sluicenet/sluice/dataplane/report"
)

// The interfaces of the node in these tests. newLink is an interface that was created after the
// interfaces were read.
const (
	eth0 uint32 = iota + 1
	podLink
	newPodLink
	docker
	podBridge
	newLink
)

var (
	local   = netip.MustParseAddr("10.244.1.2")
	fresh   = netip.MustParseAddr("10.244.1.3")
	other   = netip.MustParseAddr("172.17.0.2")
	outside = netip.MustParseAddr("192.0.2.1")
	local6  = netip.MustParseAddr("fd00:10:244:1::2")
	fresh6  = netip.MustParseAddr("fd00:10:244:1::3")
)

// bench is a table with a clock. The tree in use contains the pod lab/local. The CNI results
// are available and contain the addresses of lab/local.
type bench struct {
	*testing.T
	*table
	now  time.Time
	next uint32
}

func newBench(t *testing.T) *bench {
	b := &bench{T: t, table: newTable(3*time.Second, false, NewPeers()), now: time.Unix(1e9, 0)}
	b.known = map[netip.Addr]string{local: "lab/local", local6: "lab/local"}
	b.links = Links{
		eth0: {Name: "eth0", Uplink: true}, podLink: {Name: "veth1", ToPod: true}, newPodLink: {Name: "veth2"},
		docker: {Name: "docker0", Shared: true, Networks: []netip.Prefix{netip.MustParsePrefix("172.17.0.0/16")}}, podBridge: {Name: "cni0", ToPod: true, Shared: true},
	}
	b.sandboxes(sandbox("lab/local", "eth0", "veth1", local, local6))
	return b
}

func sandbox(pod, ifname, host string, addresses ...netip.Addr) report.Sandbox {
	namespace, name, _ := cut(pod)
	return report.Sandbox{Namespace: namespace, Name: name, Interface: ifname, HostInterface: host, Addresses: addresses}
}

func cut(pod string) (namespace, name string, ok bool) {
	i := slices.Index([]byte(pod), '/')
	return pod[:i], pod[i+1:], true
}

func (b *bench) sandboxes(list ...report.Sandbox) {
	b.setSandboxes(report.Sandboxes{Available: true, Sandboxes: list})
}

// arrive adds a packet to the table and returns "held" or the text of the outcome.
func (b *bench) arrive(f flow.Flow, in, out uint32) string {
	b.next++
	o, ended := b.add(&held{id: b.next, flow: f, in: in, out: out}, b.now)
	if !ended {
		return "held"
	}
	return text(o)
}

func text(o outcome) string {
	verb := "drop"
	if o.release {
		verb = "release"
	}
	return fmt.Sprintf("%s %d after %s", verb, o.cause, o.heldFor)
}

// `after` moves the clock forward by d and returns the texts of the outcomes of held packets.
func (b *bench) after(d time.Duration) []string {
	b.now = b.now.Add(d)
	var out []string
	for _, o := range b.update(b.now) {
		out = append(out, fmt.Sprintf("%d: %s", o.id, text(o)))
	}
	return out
}

func (b *bench) want(got any, want string) {
	b.Helper()
	if got := fmt.Sprint(got); got != want {
		b.Errorf("%s, want %s", got, want)
	}
}

var port uint16

// tcp returns the flow of a new TCP connection.
func tcp(src, dst netip.Addr) flow.Flow {
	port++
	return flow.Flow{Src: src, Dst: dst, Protocol: flow.TCP, SrcPort: port, DstPort: 80}
}

func udp(src, dst netip.Addr) flow.Flow {
	f := tcp(src, dst)
	f.Protocol = flow.UDP
	return f
}

func TestAKnownPodIsNotHeld(t *testing.T) {
	b := newBench(t)
	b.want(b.arrive(tcp(local, outside), podLink, eth0), "release 0 after 0s")
	b.want(b.arrive(tcp(outside, local6), eth0, podLink), "release 0 after 0s")
	b.want(b.arrive(tcp(outside, local), eth0, 0), "release 0 after 0s")
}

func TestANewPodIsHeldUntilTheTreeContainsIt(t *testing.T) {
	for _, f := range []flow.Flow{tcp(fresh, outside), udp(fresh, local), tcp(fresh6, local6)} {
		b := newBench(t)
		b.sandboxes(sandbox("lab/fresh", "eth0", "veth2", fresh, fresh6))
		b.want(b.arrive(f, newPodLink, eth0), "held")
		b.want(b.after(38*time.Millisecond), "[]")
		b.known[fresh], b.known[fresh6] = "lab/fresh", "lab/fresh"
		b.want(b.after(0), "[1: release 0 after 38ms]")
		b.want(b.counts.Released, "1")
	}
}

func TestAServerThatIsNewIsHeld(t *testing.T) {
	b := newBench(t)
	b.sandboxes(sandbox("lab/fresh", "eth0", "veth2", fresh))
	b.want(b.arrive(tcp(local, fresh), podLink, newPodLink), "held")
	b.known[fresh] = "lab/fresh"
	b.want(b.after(time.Millisecond), "[1: release 0 after 1ms]")
}

func TestBothEndsAreNew(t *testing.T) {
	b := newBench(t)
	second := netip.MustParseAddr("10.244.1.4")
	b.sandboxes(sandbox("lab/fresh", "eth0", "veth2", fresh), sandbox("lab/second", "eth0", "veth1", second))
	b.want(b.arrive(tcp(fresh, second), newPodLink, podLink), "held")
	b.known[fresh] = "lab/fresh"
	b.want(b.after(time.Second), "[]")
	b.known[second] = "lab/second"
	b.want(b.after(time.Second), "[1: release 0 after 2s]")
}

func TestTheFailurePolicyDecidesAfterTheLimit(t *testing.T) {
	for _, open := range []bool{false, true} {
		b := newBench(t)
		b.failOpen = open
		b.sandboxes(sandbox("lab/fresh", "eth0", "veth2", fresh))
		b.want(b.arrive(tcp(fresh, outside), newPodLink, eth0), "held")
		b.want(b.after(time.Second), "[]")
		b.want(b.arrive(tcp(fresh, outside), newPodLink, eth0), "held")
		b.want(b.after(1999*time.Millisecond), "[]")
		at, _ := b.table.next()
		b.want(at.Sub(b.now), "1ms")
		b.now = b.now.Add(time.Millisecond)
		out := b.update(b.now)
		if len(out) != 1 || out[0].cause != timedOut || out[0].release != open || !out[0].first {
			t.Errorf("%+v, want the failure policy to decide about one packet", out)
		}
		b.now = b.now.Add(time.Second)
		if out := b.update(b.now); len(out) != 1 || out[0].first {
			t.Errorf("%+v, want a second packet that is not reported", out)
		}
		b.want(b.counts.TimedOut, "2")
	}
}

// The first packets of a host that is not a pod are delayed by at most 300 ms. Later packets of
// other hosts on the same bridge are not delayed.
func TestABridgeWithoutPodsIsLearned(t *testing.T) {
	b := newBench(t)
	b.want(b.arrive(tcp(other, outside), docker, eth0), "held")
	b.want(b.after(100*time.Millisecond), "[]")
	b.want(b.arrive(udp(other, outside), docker, 0), "held")
	b.want(b.after(199*time.Millisecond), "[]")
	b.want(b.after(time.Millisecond), "[1: release 1 after 300ms 2: release 1 after 200ms]")
	b.want(len(b.learned), "1")
	b.want(b.arrive(tcp(outside, other.Next()), eth0, docker), "release 1 after 0s")
	// When the bridge leads to a pod, the table forgets the learned interface.
	b.links[docker] = link.Interface{Name: "docker0", ToPod: true, Shared: true}
	b.after(0)
	b.want(len(b.learned), "0")
}

// When the CNI results name a pod in the network of a learned interface, the interface may
// lead to the pod.
func TestALearnedBridgeGetsAPod(t *testing.T) {
	b := newBench(t)
	b.arrive(tcp(other, outside), docker, eth0)
	b.after(grace)
	b.want(len(b.learned), "1")
	b.sandboxes(sandbox("lab/fresh", "eth0", "veth3", other.Next()))
	b.after(0)
	b.want(len(b.learned), "0")
	b.want(b.arrive(tcp(other.Next(), outside), docker, eth0), "held")
}

func TestAnInterfaceOfAPodIsNeverLearned(t *testing.T) {
	b := newBench(t)
	b.sandboxes(sandbox("lab/fresh", "eth0", "veth2", fresh))
	for _, link := range []uint32{podBridge, newPodLink, newLink} {
		b.want(b.arrive(tcp(other, outside), link, eth0), "held")
		b.want(len(b.after(grace)), "1")
		b.want(b.arrive(tcp(other.Next(), outside), link, eth0), "held")
		other = other.Next().Next()
		b.after(grace)
	}
	b.want(len(b.learned), "0")
}

// On a bridge that leads to pods, a packet of an address that does not belong to a pod is held
// once in each period of recentTime.
func TestAnotherMachineOnTheBridgeOfPods(t *testing.T) {
	b := newBench(t)
	b.want(b.arrive(tcp(other, outside), podBridge, eth0), "held")
	b.want(b.after(grace), "[1: release 1 after 300ms]")
	b.want(b.arrive(tcp(other, outside), podBridge, eth0), "release 1 after 0s")
	b.after(recentTime)
	b.want(b.arrive(tcp(other, outside), podBridge, eth0), "held")
	// The address is assigned to a pod.
	b.after(grace)
	b.sandboxes(sandbox("lab/fresh", "eth0", "", other))
	b.want(b.arrive(tcp(other, outside), podBridge, eth0), "held")
	b.want(b.after(grace), "[]")
}

func TestAnotherNetworkOfAPodIsNotHeld(t *testing.T) {
	b := newBench(t)
	b.sandboxes(sandbox("lab/fresh", "eth0", "veth2", fresh), sandbox("lab/fresh", "net1", "", other))
	b.want(b.arrive(tcp(other, outside), docker, eth0), "release 1 after 0s")
	// The interface leads to one pod of the tree, so every other address behind the interface
	// belongs to this pod, too.
	b.want(b.arrive(tcp(other.Next(), outside), podLink, eth0), "release 1 after 0s")
}

func TestACNIResultThatIsWrittenLate(t *testing.T) {
	b := newBench(t)
	b.want(b.arrive(tcp(fresh, outside), newPodLink, eth0), "held")
	b.now = b.now.Add(200 * time.Millisecond)
	b.sandboxes(sandbox("lab/fresh", "eth0", "veth2", fresh))
	b.want(b.after(0), "[]")
	b.want(b.after(2799*time.Millisecond), "[]")
	b.want(b.after(time.Millisecond), "[1: drop 2 after 3s]")
}

// If an address moves to another pod, it is unknown until the tree contains the address with
// the new pod.
func TestAnAddressThatIsReused(t *testing.T) {
	b := newBench(t)
	b.sandboxes(sandbox("lab/heir", "eth0", "veth2", local))
	b.want(b.arrive(tcp(local, outside), newPodLink, eth0), "held")
	b.known[local] = "lab/heir"
	b.want(b.after(time.Millisecond), "[1: release 0 after 1ms]")
}

func TestWithoutCNIResults(t *testing.T) {
	b := newBench(t)
	b.setSandboxes(report.Sandboxes{})
	b.want(b.arrive(tcp(fresh6, outside), newPodLink, eth0), "release 1 after 0s")
	b.want(b.arrive(tcp(other, outside), docker, eth0), "release 1 after 0s")
}

// Until the CNI results have been read, no interface is learned.
func TestBeforeTheCNIResultsAreRead(t *testing.T) {
	b := newBench(t)
	b.read, b.available, b.node.sandboxes = false, false, nil
	b.want(b.arrive(tcp(other, outside), docker, eth0), "held")
	b.want(b.arrive(tcp(fresh, outside), newPodLink, eth0), "held")
	b.now = b.now.Add(10 * time.Millisecond)
	b.sandboxes(sandbox("lab/fresh", "eth0", "veth2", fresh))
	b.want(b.after(290*time.Millisecond), "[1: release 1 after 300ms]")
	b.want(len(b.learned), "1")
}

func TestWithoutAgent(t *testing.T) {
	b := newBench(t)
	b.sandboxes(sandbox("lab/fresh", "eth0", "veth2", fresh))
	b.want(b.arrive(tcp(fresh, outside), newPodLink, eth0), "held")
	b.agentGone = true
	b.want(b.after(time.Millisecond), "[1: drop 3 after 1ms]")
	b.want(b.arrive(tcp(fresh, outside), newPodLink, eth0), "drop 3 after 0s")
	// Before the first tree, packets are held even if no agent runs, because the agent may
	// still be starting.
	b.known = nil
	b.want(b.arrive(tcp(fresh, outside), newPodLink, eth0), "held")
	b.want(b.after(3*time.Second), "[3: drop 2 after 3s]")
}

func TestBounds(t *testing.T) {
	b := newBench(t)
	b.sandboxes(sandbox("lab/fresh", "eth0", "veth2", fresh))
	f := tcp(fresh, outside)
	b.want(b.arrive(f, newPodLink, eth0), "held")
	b.want(b.arrive(f, newPodLink, eth0), "drop 5 after 0s")
	for range maxPerAddress - 1 {
		b.want(b.arrive(udp(fresh, outside), newPodLink, eth0), "held")
	}
	b.want(b.arrive(udp(fresh, outside), newPodLink, eth0), "drop 4 after 0s")
	b.want(len(b.after(3*time.Second)), "16")

	// Packets that may or may not belong to a pod can use only a part of the room. The rest is
	// reserved for packets that certainly belong to a pod.
	stranger := other
	for range maxGrace {
		b.want(b.arrive(tcp(stranger, outside), podBridge, eth0), "held")
		stranger = stranger.Next()
	}
	b.want(b.arrive(tcp(stranger, outside), podBridge, eth0), "release 1 after 0s")
	b.want(b.arrive(tcp(fresh, outside), newPodLink, eth0), "held")
	var many []report.Sandbox
	pod := netip.MustParseAddr("10.244.2.1")
	for range maxHeld {
		many = append(many, sandbox("lab/"+pod.String(), "eth0", "", pod))
		pod = pod.Next()
	}
	b.sandboxes(many...)
	for _, s := range many[:maxHeld-maxGrace-1] {
		b.want(b.arrive(tcp(s.Addresses[0], outside), podBridge, eth0), "held")
	}
	b.want(b.arrive(tcp(many[maxHeld-1].Addresses[0], outside), podBridge, eth0), "drop 4 after 0s")
	b.want(len(b.table.waiting), fmt.Sprint(maxHeld))
	b.want(b.counts.OverLimit, "2")
}

func TestRecentIsBounded(t *testing.T) {
	r, now := recent{}, time.Unix(1e9, 0)
	a := netip.MustParseAddr("10.0.0.0")
	for range recentLimit {
		if a = a.Next(); !r.add(a, now) {
			t.Fatalf("no room for %s", a)
		}
	}
	if r.add(a.Next(), now) {
		t.Error("there is room for more than the limit")
	}
	if !r.add(a, now.Add(time.Second)) {
		t.Error("an address that is remembered cannot be renewed")
	}
	if now = now.Add(recentTime); !r.add(a.Next(), now) || len(r) != 2 {
		t.Errorf("%d addresses are remembered after the others have expired, want 2", len(r))
	}
}
