package ruleset

import (
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// chain is a chain with its rules. A base chain has a hook.
type chain struct {
	name     string
	hook     *nftables.ChainHook
	priority nftables.ChainPriority
	rules    []expressions
}

func (c chain) of(t *nftables.Table) *nftables.Chain {
	out := &nftables.Chain{Table: t, Name: c.name}
	if c.hook != nil {
		policy := nftables.ChainPolicyAccept
		out.Type, out.Hooknum, out.Priority, out.Policy = nftables.ChainTypeFilter, c.hook, &c.priority, &policy
	}
	return out
}

// Priorities of the base chains. Each hook has two chains, because a packet that
// comes back from a queue goes on at the next chain of the hook.
//
// Forward and output: after service translation (-100, and IPVS at -98) and the
// filters of others (0), before masquerade (postrouting).
//
// Input: after IPVS takes away packets to service addresses (98 and 99 of the
// local-in hook; it sends them on through output), because only there their
// backend is known.
const (
	priority      = 10
	priorityInput = 110
)

// Names of the chains that are no base chains.
const (
	judge        = "judge"
	judgeSent    = "judge-sent"
	errorsIn     = "icmp-errors"
	origin       = "origin"
	linkLocal    = "link-local"
	enqueue      = "enqueue"
	settle       = "settle"
	settleErrors = "settle-icmp-errors"
	refuse       = "refuse"
	pass         = "pass"
	count        = "count"
)

// chains is the whole table but for its sets. An order in which each chain is
// made before another goes to it.
func (c Config) chains() []chain {
	return append(c.countingChains(), []chain{
		{name: refuse, rules: c.refuseRules()},
		{name: settleErrors, rules: c.settleErrorRules()},
		{name: settle, rules: c.settleRules()},
		{name: enqueue, rules: c.enqueueRules()},
		{name: linkLocal, rules: linkLocalRules()},
		{name: origin, rules: c.originRules()},
		{name: errorsIn, rules: c.errorRules()},
		{name: judge, rules: c.judgeRules(
			[]expressions{append(stateIs(expr.CtStateBitRELATED), goThrough(errorsIn))},
			[]expressions{append(cameInBy(egressLinks), goThrough(origin))},
		)},
		// The kernel takes no question for the way back in the output hook.
		{name: judgeSent, rules: c.judgeRules(nil, nil)},
		{name: "forward", hook: nftables.ChainHookForward, priority: priority, rules: []expressions{{continueAt(judge)}}},
		{name: "forward-settle", hook: nftables.ChainHookForward, priority: priority + 1, rules: []expressions{{continueAt(settle)}}},
		{name: "input", hook: nftables.ChainHookInput, priority: priorityInput, rules: []expressions{{continueAt(judge)}}},
		{name: "input-settle", hook: nftables.ChainHookInput, priority: priorityInput + 1, rules: []expressions{{continueAt(settle)}}},
		{name: "output", hook: nftables.ChainHookOutput, priority: priority, rules: []expressions{
			// The reset by which this node refuses a connection belongs to that
			// connection, whose mark may be refused.
			append(join(stateIs(expr.CtStateBitRELATED), tcpReset()), accept()),
			append(join(stateIs(expr.CtStateBitRELATED), protocol(unix.IPPROTO_ICMP)), accept()),
			append(join(stateIs(expr.CtStateBitRELATED), protocol(unix.IPPROTO_ICMPV6)), accept()),
			{continueAt(judgeSent)},
		}},
		{name: "output-settle", hook: nftables.ChainHookOutput, priority: priority + 1, rules: []expressions{{continueAt(settle)}}},
	}...)
}

// countingChains counts the packets that FailOpen lets pass unjudged, which the
// kernel does not: like all others they go on at the next chain of the hook, but
// without a verdict. What else comes there without one is what judge and enqueue
// accept, so these chains ask the same again.
func (c Config) countingChains() []chain {
	if c.FailurePolicy != FailOpen {
		return nil
	}
	rules := append(isolatedErrorsTo(count, stateIs(expr.CtStateBitRELATED)), append(connectionMarkIs(c.Marks.Mask, c.Marks.Accepted), accept()))
	return []chain{
		{name: count, rules: []expressions{
			append(neighbourDiscovery(), accept()),
			append(sourceIsLocal(), accept()),
			{countBy(unjudged)},
		}},
		{name: pass, rules: slices.Concat(rules, c.acceptedRules(), isolatedTo(count))},
	}
}

// judgeRules decides what a mark already says, asks more before and behind that,
// and finds what is to be queued. All of it is in one chain: were it in two and
// somebody emptied the first, accepted connections would be judged as if they were
// new.
func (c Config) judgeRules(first, more []expressions) []expressions {
	m := c.Marks
	cleared := []expressions{
		// Our bits of a packet mark mean a verdict, and only the queue gives one.
		join(markIsNot(m.Mask, 0), clearMark(m.Mask)),
		// A connection that a helper expects begins with the marks of the one that
		// it belongs to. An ICMP error is of that connection itself.
		append(join(stateIs(expr.CtStateBitRELATED), notICMP()), setConnectionMark(m.Mask, 0)...),
	}
	marked := []expressions{
		append(connectionMarkIs(m.Mask, m.Accepted), accept()),
		append(connectionMarkIs(m.Mask, m.Denied), continueAt(refuse)),
	}
	return slices.Concat(cleared, first, marked, c.acceptedRules(), more, isolatedTo(enqueue))
}

// acceptedRules accepts what needs no verdict, of connections that are neither
// accepted nor refused.
func (c Config) acceptedRules() []expressions {
	m := c.Marks
	return []expressions{
		append(join(connectionMarkIs(m.Mask, m.Either), tcpNotOpening()), accept()),
		append(replyDirection(), accept()),
		// Only errors of ICMP: a connection that a helper expects is related,
		// too, and is judged like every other.
		append(join(stateIs(expr.CtStateBitRELATED), protocol(unix.IPPROTO_ICMP)), accept()),
		append(join(stateIs(expr.CtStateBitRELATED), protocol(unix.IPPROTO_ICMPV6)), accept()),
	}
}

// isolatedTo sends packets of isolated pods to a chain.
func isolatedTo(chain string) []expressions {
	var rules []expressions
	for _, s := range addressSets {
		rules = append(rules, append(inSet(s), continueAt(chain)))
	}
	return rules
}

// enqueueRules is for packets of isolated pods that no mark decides.
func (c Config) enqueueRules() []expressions {
	return []expressions{
		append(neighbourDiscovery(), accept()),
		// An address of this node that comes in by an interface is forged. IPv4
		// drops it while routing; IPv6 has no such check.
		append(join(cameIn(), sourceIsLocal()), drop()),
		append(sourceIsLocal(), accept()),
		{queueTo(c.Queueing, c.QueueBase, c.Queues, c.FailurePolicy == FailOpen)},
	}
}

// settleRules moves a verdict from the packet to its connection. Storing a mark
// ends the rule of a packet that has no connection, so it is a rule of its own.
func (c Config) settleRules() []expressions {
	m := c.Marks
	accepted := markIs(m.Mask, m.Accepted)
	// Allowed in the other orientation only: that decides a connection which was
	// not seen from its beginning, and no other.
	either := join(markIs(m.Mask, m.Either), protocol(unix.IPPROTO_TCP), stateIs(expr.CtStateBitNEW|expr.CtStateBitUNTRACKED))
	unmarked := accept()
	if c.FailurePolicy == FailOpen {
		unmarked = continueAt(pass)
	}
	return []expressions{
		append(markIs(m.Mask, 0), unmarked),
		append(stateIs(expr.CtStateBitRELATED), goThrough(settleErrors)),
		join(accepted, setConnectionMark(m.Mask, m.Accepted)),
		append(join(accepted, clearMark(m.Mask)), accept()),
		join(either, setConnectionMark(m.Mask, m.Either)),
		append(join(either, clearMark(m.Mask)), accept()),
		clearMark(m.Mask),
		// A packet that fits no connection must not reset the one that it seems
		// to belong to.
		append(stateIs(expr.CtStateBitINVALID), drop()),
		setConnectionMark(m.Mask, m.Denied),
		{continueAt(refuse)},
	}
}

// refuseRules ends a packet.
func (c Config) refuseRules() []expressions {
	if c.Deny == Drop {
		return []expressions{{drop()}}
	}
	return []expressions{
		append(protocol(unix.IPPROTO_TCP), resetConnection()),
		{prohibit()},
	}
}
