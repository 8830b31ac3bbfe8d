package ruleset

import "golang.org/x/sys/unix"

// An ICMP error quotes a packet of the connection that it is about. Connection
// tracking relates the error to that connection, whatever its sender. So a pod
// that is isolated for egress could send forged errors to both ends of every
// connection that this node tracks. Therefore the policies of the pod decide about
// the errors that it sends, except for errors about packets that were sent to it.

// errorRules queues the ICMP errors that need a verdict. Errors about a denied
// connection need none, because a later rule drops them.
func (c Config) errorRules() []expressions {
	rules := []expressions{
		append(notICMP(), returnToCaller()),
		append(connectionMarkIs(c.Marks.Mask, c.Marks.Denied), returnToCaller()),
	}
	if !c.WithoutReversePath {
		rules = append(rules, append(join(inputInterfaceIn(egressLinks), sourceHasNoReversePath()), drop()))
	}
	return append(rules, isolatedErrorsTo(enqueue, nil)...)
}

// isolatedErrorsTo sends ICMP errors from pods that are isolated for egress to a
// chain.
func isolatedErrorsTo(chain string, of expressions) []expressions {
	return []expressions{
		append(join(of, protocol(unix.IPPROTO_ICMP), inSet(egress4)), goTo(chain)),
		append(join(of, protocol(unix.IPPROTO_ICMPV6), inSet(egress6)), goTo(chain)),
	}
}

// settleErrorRules carries out the verdict for an ICMP error. It does not mark the
// connection, because the verdict applies to the sender of the error, not to the
// connection that the error is about. It drops rather than rejects, because a reply
// to an ICMP error is not permitted.
func (c Config) settleErrorRules() []expressions {
	m := c.Marks
	return []expressions{
		append(notICMP(), returnToCaller()),
		append(markIs(m.Mask, m.Denied), drop()),
		clearMark(m.Mask),
		{accept()},
	}
}
