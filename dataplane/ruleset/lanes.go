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
// new connections of other pods would wait or be lost. So the rules measure the rate of first
// packets of each pod of this node. The packets of a pod above the limit go to the flood queue,
// whose worker has limited processor time. All other packets go to the normal queues. A hash of the
// pod's address selects the normal queue.
//
// The rules count each packet for one pod. A packet from a pod of this node counts for its sender.
// Any other packet counts for the pod to which it is sent.

// The limit is floodRate first packets per second and pod. After a pause, a burst of floodBurst
// packets does not exceed the limit. A pod that has waited for a processor opens the delayed
// connections in such a burst. The bursts of many pods together must fit into the queues. A pod that has exceeded the limit uses the flood queue until
// it has stayed below the limit for floodTime.
const (
	floodRate  = 4000
	floodBurst = 500
	floodTime  = 2 * time.Second
)

// rateTime is the time after which the kernel forgets the rate of a pod without first packets. It
// is longer than the time after which the kernel allows a burst of floodBurst packets again, so the
// pod gains nothing.
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
	// rates contains the rates of the pods, and flooders contains the pods above the limit. The
	// counter of a flooder counts the first packets of the pod since it exceeded the limit.
	rates, flooders addressSet
	ingress         bool
}

func newLane(direction string, known addressSet, digit string) lane {
	dynamic := func(name string, timeout time.Duration, counted bool) addressSet {
		s := known
		s.name, s.timeout, s.counted = direction+"-"+name+digit, timeout, counted
		return s
	}
	return lane{
		name: direction + "-lane" + digit, known: known, ingress: direction == "ingress",
		rates: dynamic("rates", rateTime, false), flooders: dynamic("flooders", floodTime, true),
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
		out = append(out, l.rates.set, l.flooders.set)
	}
	return out
}

// laneChains returns the chains that select a queue.
func (c Config) laneChains() []chain {
	if c.FloodQueue == 0 {
		return nil
	}
	out := []chain{{name: flood, rules: []nft.Expressions{{c.queueTo(c.FloodQueue, 1)}}}}
	for _, l := range lanes {
		out = append(out, chain{name: l.name, rules: c.laneRules(l)})
	}
	return out
}

func (c Config) laneRules(l lane) []nft.Expressions {
	rules := []nft.Expressions{
		nft.Join(l.rates.address(), nft.Expressions{updateRate(l.rates), updateSet(l.flooders), nft.GoTo(flood)}),
		append(inSet(l.flooders), nft.GoTo(flood)),
	}
	last := c.Queues - 1
	for i := range last {
		rules = append(rules, append(nft.Join(l.known.address(), hashIs(l.known.length, uint32(c.Queues), uint32(i))), c.queueTo(c.QueueBase+i, 1)))
	}
	// The last rule has no condition, so that every packet is queued.
	return append(rules, nft.Expressions{c.queueTo(c.QueueBase+last, 1)})
}

// selectRules returns the rules that select the queue of a packet. Without lanes, the kernel selects
// the queue by a hash of both addresses.
func (c Config) selectRules() []nft.Expressions {
	var rules []nft.Expressions
	if c.FloodQueue != 0 {
		for _, l := range lanes {
			rules = append(rules, append(inSet(l.known), nft.GoTo(l.name)))
		}
	}
	return append(rules, nft.Expressions{c.queueTo(c.QueueBase, c.Queues)})
}

// updateRate returns the expression for
// `update @SET { ADDRESS limit rate over RATE/second burst BURST packets }`.
// The rule matches if the rate is above the limit. The address must be in the register.
func updateRate(s addressSet) expr.Any {
	return &expr.Dynset{
		SrcRegKey: nft.Register, SetName: s.name, Operation: unix.NFT_DYNSET_OP_UPDATE,
		Exprs: []expr.Any{&expr.Limit{Type: expr.LimitTypePkts, Rate: floodRate, Unit: expr.LimitTimeSecond, Burst: floodBurst, Over: true}},
	}
}

// updateSet returns the expression for `update @SET { ADDRESS }`. It adds the address in the register
// to the set, or renews the timeout of the address.
func updateSet(s addressSet) expr.Any {
	return &expr.Dynset{SrcRegKey: nft.Register, SetName: s.name, Operation: unix.NFT_DYNSET_OP_UPDATE}
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
		for _, s := range []addressSet{l.rates, l.flooders} {
			if err := c.AddSet(s.of(t), nil); err != nil {
				return err
			}
		}
		chain := c.AddChain(&nftables.Chain{Table: t, Name: "probe"})
		for _, r := range []nft.Expressions{
			append(l.rates.address(), updateRate(l.rates), updateSet(l.flooders)),
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
