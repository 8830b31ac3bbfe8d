package ruleset

import (
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/ruleset/internal/nft"
)

// chain is an nftables chain with its rules. The fields `hook` and `priority` are set only for a
// base chain.
type chain struct {
	name     string
	hook     *nftables.ChainHook
	priority nftables.ChainPriority
	rules    []nft.Expressions
}

func (c chain) of(t *nftables.Table) *nftables.Chain {
	out := &nftables.Chain{Table: t, Name: c.name}
	if c.hook != nil {
		policy := nftables.ChainPolicyAccept
		out.Type, out.Hooknum, out.Priority, out.Policy = nftables.ChainTypeFilter, c.hook, &c.priority, &policy
	}
	return out
}

// hasShapeOf reports whether a chain that was read from the kernel has the hook and priority
// that c requires. The kernel cannot change the hook or the priority of an existing chain.
func (c chain) hasShapeOf(have *nftables.Chain) bool {
	if c.hook == nil || have.Hooknum == nil {
		return c.hook == nil && have.Hooknum == nil
	}
	return *have.Hooknum == *c.hook && have.Priority != nil && *have.Priority == c.priority
}

// Priorities of the base chains. Each hook has two base chains, because a packet that
// returns from a queue continues at the next base chain of the hook.
//
// In the forward and output hooks, the first chain runs after DNAT (-100), IPVS (-98) and
// the filters of other programs (0). Masquerade runs later, in the postrouting hook.
//
// In the input hook, the first chain runs after IPVS (98 and 99). IPVS selects a backend
// for each packet to a service address and sends the packet through the output hook. Such
// a packet must be evaluated in the output hook, where its destination is the backend, and
// not in the input hook.
const (
	priority      = 10
	priorityInput = 110
)

// Names of the regular chains.
const (
	evaluate     = "evaluate"
	evaluateSent = "evaluate-sent"
	errorsIn     = "icmp-errors"
	firstPackets = "first-packets"
	origin       = "origin"
	linkLocal    = "link-local"
	enqueue      = "enqueue"
	settle       = "settle"
	settleErrors = "settle-icmp-errors"
	deny         = "deny"
	unevaluated  = "unevaluated"
	count        = "count"
)

// chains returns all chains of the table. Each chain precedes the chains that jump to it,
// so that the chains can be added in this order.
func (c Config) chains() []chain {
	return slices.Concat(c.countingChains(), c.laneChains(), []chain{
		{name: deny, rules: c.denyRules()},
		{name: settleErrors, rules: c.settleErrorRules()},
		{name: settle, rules: c.settleRules()},
		{name: enqueue, rules: c.enqueueRules()},
		{name: linkLocal, rules: linkLocalRules()},
		{name: origin, rules: c.originRules()},
		{name: firstPackets, rules: c.firstPacketRules()},
		{name: errorsIn, rules: c.errorRules()},
	}, c.holdChains(), []chain{
		observeChain(),
		{name: evaluate, rules: c.evaluateReceivedRules(c.marksRule(), c.firstPacketsChain())},
		// A packet in the output hook has no input interface, so the kernel rejects rules in this
		// hook that look up the reverse path.
		{name: evaluateSent, rules: c.evaluateRules(c.clearRule(), nil, nil, nil)},
		{name: "forward", hook: nftables.ChainHookForward, priority: priority, rules: []nft.Expressions{{nft.GoTo(evaluate)}}},
		{name: "forward-settle", hook: nftables.ChainHookForward, priority: priority + 1, rules: []nft.Expressions{{nft.GoTo(settle)}}},
		{name: "input", hook: nftables.ChainHookInput, priority: priorityInput, rules: []nft.Expressions{{nft.GoTo(evaluate)}}},
		{name: "input-settle", hook: nftables.ChainHookInput, priority: priorityInput + 1, rules: []nft.Expressions{{nft.GoTo(settle)}}},
		{name: "output", hook: nftables.ChainHookOutput, priority: priority, rules: []nft.Expressions{
			// When this node rejects a packet, it sends a TCP reset or an ICMP error. This
			// response belongs to the rejected connection. If the connection is marked as
			// denied, later rules would drop the response, so accept it here.
			append(nft.Join(nft.StateIs(expr.CtStateBitRELATED), nft.TCPReset()), nft.Accept()),
			append(nft.Join(nft.StateIs(expr.CtStateBitRELATED), nft.Protocol(unix.IPPROTO_ICMP)), nft.Accept()),
			append(nft.Join(nft.StateIs(expr.CtStateBitRELATED), nft.Protocol(unix.IPPROTO_ICMPV6)), nft.Accept()),
			{nft.GoTo(evaluateSent)},
		}},
		{name: "output-settle", hook: nftables.ChainHookOutput, priority: priority + 1, rules: []nft.Expressions{{nft.GoTo(settle)}}},
	})
}

// countingChains returns the chains that count unevaluated packets, which FailOpen accepts. The
// kernel has no counter for these packets. An unevaluated packet continues at the next base chain
// of the hook. So does a packet that the chain `evaluate` or `enqueue` accepts. To distinguish the
// two cases, the counting chains repeat the conditions of `evaluate` and `enqueue`, and count a
// packet only if these two chains would queue it.
func (c Config) countingChains() []chain {
	if c.FailurePolicy != FailOpen {
		return nil
	}
	m := c.Marks
	rules := append(isolatedErrorsTo(count, nft.StateIs(expr.CtStateBitRELATED)), append(nft.ConnectionMarkIs(m.Mask, m.Accepted), nft.Accept()), c.midStreamRule())
	return []chain{
		{name: count, rules: []nft.Expressions{
			append(nft.NeighbourDiscovery(), nft.Accept()),
			append(nft.SourceIsLocal(), nft.Accept()),
			{counterNamed(unevaluatedCounter)},
		}},
		{name: unevaluated, rules: slices.Concat(rules, unmarkedRules(), isolatedTo(count))},
	}
}

// evaluateReceivedRules returns the rules for packets that arrived on an interface. The parameter
// `bits` is the rule that handles Sluice's bits of the packet mark. If a packet does not belong to
// an established connection, the rules jump to the chain whose name is `first`.
func (c Config) evaluateReceivedRules(bits nft.Expressions, first string) []nft.Expressions {
	return c.evaluateRules(
		bits,
		[]nft.Expressions{append(nft.StateIs(expr.CtStateBitRELATED), nft.JumpTo(errorsIn))},
		[]nft.Expressions{append(nft.StateIsNot(expr.CtStateBitESTABLISHED), nft.JumpTo(first))},
		[]nft.Expressions{append(inputInterfaceIn(egressLinks), nft.JumpTo(origin))},
	)
}

// clearRule returns the rule that clears Sluice's bits of a packet mark. The bits carry a
// verdict, and only a worker may set them.
func (c Config) clearRule() nft.Expressions {
	return nft.Join(nft.MarkIsNot(c.Marks.Mask, 0), nft.ClearMark(c.Marks.Mask))
}

// evaluateRules returns the rules that act on the marks and then select the packets to queue.
// The parameter `bits` is the rule that handles Sluice's bits of the packet mark. The other
// parameters contain further rules. The rules in `first` precede the rules that match
// connection marks, and the rules in `unmarked` follow them. The rules in `more` follow the
// rules that accept replies.
//
// All rules must be in one chain. If they were split into two chains and another program
// emptied the first chain, packets of accepted connections would be evaluated as if they
// were first packets.
func (c Config) evaluateRules(bits nft.Expressions, first, unmarked, more []nft.Expressions) []nft.Expressions {
	m := c.Marks
	cleared := []nft.Expressions{
		bits,
		// An expected connection of a conntrack helper starts with the mark of its master
		// connection. Clear this mark, so that the new connection is evaluated. Do not clear the
		// mark for an ICMP error, because an ICMP error has the mark of the quoted packet's
		// connection.
		append(nft.Join(nft.StateIs(expr.CtStateBitRELATED), nft.NotICMP()), nft.SetConnectionMark(m.Mask, 0)...),
	}
	marked := []nft.Expressions{
		append(nft.ConnectionMarkIs(m.Mask, m.Accepted), nft.Accept()),
		append(nft.ConnectionMarkIs(m.Mask, m.Denied), nft.GoTo(deny)),
		c.midStreamRule(),
	}
	return slices.Concat(cleared, first, marked, unmarked, unmarkedRules(), more, isolatedTo(enqueue))
}

// midStreamRule returns the rule that accepts packets of connections with the mark Either.
func (c Config) midStreamRule() nft.Expressions {
	return append(nft.Join(nft.ConnectionMarkIs(c.Marks.Mask, c.Marks.Either), nft.TCPNotOpening()), nft.Accept())
}

// unmarkedRules returns rules for packets of connections without a mark. The rules accept replies
// and related ICMP errors, which are not evaluated.
func unmarkedRules() []nft.Expressions {
	return []nft.Expressions{
		append(nft.ReplyDirection(), nft.Accept()),
		// Accept only related ICMP errors. The first packet of an expected connection of a
		// conntrack helper is also related, but this packet needs a verdict.
		append(nft.Join(nft.StateIs(expr.CtStateBitRELATED), nft.Protocol(unix.IPPROTO_ICMP)), nft.Accept()),
		append(nft.Join(nft.StateIs(expr.CtStateBitRELATED), nft.Protocol(unix.IPPROTO_ICMPV6)), nft.Accept()),
	}
}

// isolatedTo returns rules with a goto to the given chain. The rules match packets from isolated
// pods and packets to isolated pods.
func isolatedTo(chain string) []nft.Expressions {
	var rules []nft.Expressions
	for _, s := range isolatedSets {
		rules = append(rules, append(inSet(s), nft.GoTo(chain)))
	}
	return rules
}

// enqueueRules returns the rules that queue packets from or to isolated pods if the
// packets need a verdict.
func (c Config) enqueueRules() []nft.Expressions {
	return append([]nft.Expressions{
		append(nft.NeighbourDiscovery(), nft.Accept()),
		// If a packet with a source address of this node arrives on an interface, the packet is
		// forged. The kernel drops such packets during routing for IPv4, but not for IPv6.
		append(nft.Join(nft.HasInputInterface(), nft.SourceIsLocal()), nft.Drop()),
		append(nft.SourceIsLocal(), nft.Accept()),
	}, c.selectRules()...)
}

// settleRules returns the rules that carry out the verdict in the packet mark and copy it to the
// connection mark. If a packet has no connection, the kernel stops evaluating a rule at a
// statement that sets the connection mark. So each such statement is the last statement of a
// separate rule.
func (c Config) settleRules() []nft.Expressions {
	m := c.Marks
	accepted := nft.MarkIs(m.Mask, m.Accepted)
	// The verdict Either for a TCP packet means that policies deny the packet's flow, but allow a
	// flow in the reverse direction. So the packet may be a reply. Accept it only if connection
	// tracking has seen no earlier packet of its connection.
	either := nft.Join(nft.MarkIs(m.Mask, m.Either), nft.Protocol(unix.IPPROTO_TCP), nft.StateIs(expr.CtStateBitNEW|expr.CtStateBitUNTRACKED))
	unmarked := nft.Accept()
	if c.FailurePolicy == FailOpen {
		unmarked = nft.GoTo(unevaluated)
	}
	carryOut := []nft.Expressions{
		append(nft.MarkIs(m.Mask, 0), unmarked),
		append(nft.StateIs(expr.CtStateBitRELATED), nft.JumpTo(settleErrors)),
		nft.Join(accepted, nft.SetConnectionMark(m.Mask, m.Accepted)),
		append(nft.Join(accepted, nft.ClearMark(m.Mask)), nft.Accept()),
		nft.Join(either, nft.SetConnectionMark(m.Mask, m.Either)),
		append(nft.Join(either, nft.ClearMark(m.Mask)), nft.Accept()),
		nft.ClearMark(m.Mask),
	}
	return slices.Concat(carryOut, c.countDeniedRules(nil), []nft.Expressions{
		// If the rules rejected an invalid packet, the response could reset the connection to
		// which the packet seems to belong. So drop the packet.
		append(nft.StateIs(expr.CtStateBitINVALID), nft.Drop()),
		nft.SetConnectionMark(m.Mask, m.Denied),
		{nft.GoTo(deny)},
	})
}

// denyRules returns the rules that drop or reject a packet, depending on Config.Deny.
func (c Config) denyRules() []nft.Expressions {
	if c.Deny == Drop {
		return []nft.Expressions{{nft.Drop()}}
	}
	return []nft.Expressions{
		append(nft.Protocol(unix.IPPROTO_TCP), nft.RejectWithReset()),
		{nft.RejectProhibited()},
	}
}
