package ruleset

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/ruleset/internal/nft"
)

// If a pod opened flows faster than the workers can evaluate them, it would fill the queues, and
// new connections of other pods would wait or be lost. So the rules measure two rates of each pod of
// this node: the rate of its first packets, and the rate of its denied first packets. The packets of a
// pod above one of the limits go to the flood queue, whose worker has limited processor time. All
// other packets go to the normal queues. A hash of the pod's address selects the normal queue.
//
// The limit for denied packets is much lower than the other one. When many pods flood at once, each
// gets little processor time, so its rate can be as low as that of a busy pod. Its rate of denied
// packets is still high. A denied flow has no entry in the conntrack table, so each of its packets is
// a first packet.
//
// The rules count each packet for one pod. A packet from a pod of this node counts for its sender.
// Any other packet counts for the pod to which it is sent.

// limit is a number of packets per second. After a pause, `burst` packets do not exceed the limit. A
// pod that has exceeded it uses the flood queue until it has stayed below the limit for the given time.
type limit struct {
	perSecond uint64
	burst     uint32
	time      time.Duration
}

var (
	// openLimit applies to all first packets of a pod. The burst is large, because a pod that has
	// waited for a processor opens all delayed connections at once. A normal queue holds four such
	// bursts.
	openLimit = limit{perSecond: 4000, burst: 2000, time: 2 * time.Second}
	// deniedLimit applies to the first packets that policies deny. The time is long, because packets
	// that the full flood queue drops are not counted.
	deniedLimit = limit{perSecond: LowestLimit, burst: 100, time: 30 * time.Second}
)

// LowestLimit is the lower of the two limits, in first packets per second.
const LowestLimit = 200

// rateTime is the time after which the kernel forgets the rate of a pod without first packets. It
// is longer than the time after which the kernel allows a burst again, so the pod gains nothing.
const rateTime = 10 * time.Second

// maxPodAddresses is the size of the sets that the rules fill. It must be above the number of pod
// addresses of a node. If a set were full, the rules would not measure the rates of further pods.
const maxPodAddresses = 1 << 16

// flood is the name of the chain that sends packets to the flood queue.
const flood = "flood"

// lane describes how the rules handle the first packets of one direction and address family.
type lane struct {
	// name is the name of the chain. The lane applies to packets whose source (egress) or
	// destination (ingress) is in the set `known`.
	name  string
	known addressSet
	// opened and denied contain the rates of the pods for the two limits. overDenied contains the pods
	// above deniedLimit. flooders contains the pods that use the flood queue. The counter of a flooder
	// counts its first packets since it has been in this set.
	opened, denied, overDenied, flooders addressSet
	ingress                              bool
}

func newLane(direction string, known addressSet, digit string) lane {
	dynamic := func(name string, timeout time.Duration, counted bool) addressSet {
		s := known
		s.name, s.timeout, s.counted = direction+"-"+name+digit, timeout, counted
		return s
	}
	return lane{
		name: direction + "-lane" + digit, known: known, ingress: direction == "ingress",
		opened: dynamic("opened", rateTime, false), denied: dynamic("denied", rateTime, false),
		overDenied: dynamic("over-denied", deniedLimit.time, false),
		flooders:   dynamic("flooders", openLimit.time, true),
	}
}

// lanes contains the lanes in the order in which the rules try them.
var lanes = []lane{
	newLane("egress", known4, "4"),
	newLane("egress", known6, "6"),
	newLane("ingress", ingress4, "4"),
	newLane("ingress", ingress6, "6"),
}

// laneSets returns the sets of the lanes.
func laneSets() []set {
	var out []set
	for _, l := range lanes {
		out = append(out, l.opened.set, l.denied.set, l.overDenied.set, l.flooders.set)
	}
	return out
}

// laneChains returns the chains that select a queue, and the chains that count denied packets.
func (c Config) laneChains() []chain {
	if c.FloodQueue == 0 {
		return nil
	}
	out := []chain{{name: flood, rules: []nft.Expressions{{c.queueTo(c.FloodQueue, 1)}}}}
	for _, l := range lanes {
		out = append(out, chain{name: l.name, rules: c.laneRules(l)})
	}
	for _, l := range lanes {
		out = append(out, chain{name: l.deniedChain(), rules: []nft.Expressions{
			nft.Join(l.known.address(), nft.Expressions{exceeds(deniedLimit, l.denied), updateSet(l.overDenied)}),
		}})
	}
	return append(out, chain{name: countDenied, rules: c.laneGoTos(lane.deniedChain)})
}

// chain returns the name of the chain that selects the queue of a packet of the lane.
func (l lane) chain() string { return l.name }

func (c Config) laneRules(l lane) []nft.Expressions {
	rules := []nft.Expressions{
		nft.Join(l.known.address(), nft.Expressions{exceeds(openLimit, l.opened), updateSet(l.flooders), nft.GoTo(flood)}),
		append(inSet(l.overDenied), updateSet(l.flooders), nft.GoTo(flood)),
		append(inSet(l.flooders), nft.GoTo(flood)),
	}
	last := c.Queues - 1
	for i := range last {
		rules = append(rules, append(nft.Join(l.known.address(), hashIs(l.known.length, uint32(c.Queues), uint32(i))), c.queueTo(c.QueueBase+i, 1)))
	}
	// The last rule has no condition, so that every packet is queued.
	return append(rules, nft.Expressions{c.queueTo(c.QueueBase+last, 1)})
}

// exceeds returns the expression for
// `update @RATES { ADDRESS limit rate over RATE/second burst BURST packets }`.
// It counts a packet, and matches if the rate is above the limit. The address must be in the register.
func exceeds(limit limit, rates addressSet) expr.Any {
	return &expr.Dynset{
		SrcRegKey: nft.Register, SetName: rates.name, Operation: unix.NFT_DYNSET_OP_UPDATE,
		Exprs: []expr.Any{&expr.Limit{Type: expr.LimitTypePkts, Rate: limit.perSecond, Unit: expr.LimitTimeSecond, Burst: limit.burst, Over: true}},
	}
}

// updateSet returns the expression for `update @SET { ADDRESS }`. It adds the address in the register
// to the set, or renews the timeout of the address. If the set has counters, it also counts the packet.
func updateSet(s addressSet) expr.Any {
	return &expr.Dynset{SrcRegKey: nft.Register, SetName: s.name, Operation: unix.NFT_DYNSET_OP_UPDATE}
}

// countDenied is the name of the chain that counts a denied first packet. It has no verdict.
const countDenied = "count-denied"

// deniedChain returns the name of the chain that counts the denied packets of the lane.
func (l lane) deniedChain() string { return l.denied.name }

// countDeniedRules returns the rule that counts a denied first packet. The given expressions are the
// conditions of the rule. If there are no lanes, it returns no rules.
func (c Config) countDeniedRules(conditions nft.Expressions) []nft.Expressions {
	if c.FloodQueue == 0 {
		return nil
	}
	return []nft.Expressions{nft.Join(conditions, nft.Expressions{nft.JumpTo(countDenied)})}
}

// laneGoTos returns the rules that go to a chain of the lane of a packet. If there are no lanes, it
// returns no rules.
func (c Config) laneGoTos(chain func(lane) string) []nft.Expressions {
	if c.FloodQueue == 0 {
		return nil
	}
	var rules []nft.Expressions
	for _, l := range lanes {
		rules = append(rules, append(inSet(l.known), nft.GoTo(chain(l))))
	}
	return rules
}

// selectRules returns the rules that select the queue of a packet. Without lanes, the kernel selects
// the queue by a hash of both addresses.
func (c Config) selectRules() []nft.Expressions {
	return append(c.laneGoTos(lane.chain), nft.Expressions{c.queueTo(c.QueueBase, c.Queues)})
}

// hashRegister is a register that no other expression uses.
const hashRegister = 2

// hashSeed is the seed of all hashes. Without a seed, the kernel chooses a random seed for each rule.
const hashSeed = 1

// hashIs returns the expressions for `jhash ADDRESS mod MODULUS seed 1 == REST`. The address must
// be in the register.
func hashIs(length, modulus, rest uint32) nft.Expressions {
	return nft.Expressions{
		&expr.Hash{SourceRegister: nft.Register, DestRegister: hashRegister, Length: length, Modulus: modulus, Seed: hashSeed, Type: expr.HashTypeJenkins},
		&expr.Cmp{Op: expr.CmpOpEq, Register: hashRegister, Data: nft.Native(rest)},
	}
}

// tryLanes returns an error if the kernel rejects the sets and rules of a lane.
func tryLanes() error {
	l := lanes[0]
	return tryTable(func(c *nftables.Conn, t *nftables.Table) error {
		for _, s := range []addressSet{l.opened, l.flooders} {
			if err := c.AddSet(s.of(t), nil); err != nil {
				return err
			}
		}
		chain := c.AddChain(&nftables.Chain{Table: t, Name: "probe"})
		for _, r := range []nft.Expressions{
			nft.Join(l.known.address(), nft.Expressions{exceeds(openLimit, l.opened), updateSet(l.flooders)}),
			nft.Join(l.known.address(), hashIs(l.known.length, 2, 1)),
		} {
			c.AddRule(&nftables.Rule{Table: t, Chain: chain, Exprs: r})
		}
		return nil
	})
}

// Flooder is a pod whose first packets go to the flood queue.
type Flooder struct {
	// Address is the address of the pod. Ingress is true if the pod receives the flows, and false
	// if it opens them.
	Address netip.Addr
	Ingress bool
}

// Flooders returns the pods whose first packets go to the flood queue at the moment. The value for
// a pod is the number of its first packets since it exceeded the limit. The map is empty if the
// rules contain no lanes.
func (t *Table) Flooders() (map[Flooder]uint64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := map[Flooder]uint64{}
	if t.config.FloodQueue == 0 {
		return out, nil
	}
	for _, l := range lanes {
		elements, err := t.conn.GetSetElements(l.flooders.of(t.table))
		if err != nil {
			return nil, fmt.Errorf("reading set %s: %w", l.flooders.name, err)
		}
		for _, e := range elements {
			if a, ok := netip.AddrFromSlice(e.Key); ok && e.Counter != nil {
				out[Flooder{a, l.ingress}] = e.Counter.Packets
			}
		}
	}
	return out, nil
}
