package ruleset

import "golang.org/x/sys/unix"

// Whoever knows of a connection can make up an ICMP error about it, and
// connection tracking does not ask who sends one. To a pod isolated for egress
// that would be a way to everybody whose connections this node tracks. So what it
// sends is judged, but for errors about packets that were sent to itself.

// errorRules finds ICMP errors that need a verdict. A connection that is refused
// needs none.
func (c Config) errorRules() []expressions {
	rules := []expressions{
		append(notICMP(), comeBack()),
		append(connectionMarkIs(c.Marks.Mask, c.Marks.Denied), comeBack()),
	}
	if !c.WithoutReversePath {
		rules = append(rules, append(join(cameInBy(egressLinks), sourceIsElsewhere()), drop()))
	}
	return append(rules, isolatedErrorsTo(enqueue, nil)...)
}

// isolatedErrorsTo sends ICMP errors of pods isolated for egress to a chain.
func isolatedErrorsTo(chain string, of expressions) []expressions {
	return []expressions{
		append(join(of, protocol(unix.IPPROTO_ICMP), inSet(egress4)), continueAt(chain)),
		append(join(of, protocol(unix.IPPROTO_ICMPV6), inSet(egress6)), continueAt(chain)),
	}
}

// settleErrorRules carries out the verdict on an ICMP error. The connection that
// it is about is not the sender's to mark, and nothing answers an error.
func (c Config) settleErrorRules() []expressions {
	m := c.Marks
	return []expressions{
		append(notICMP(), comeBack()),
		append(markIs(m.Mask, m.Denied), drop()),
		clearMark(m.Mask),
		{accept()},
	}
}
