package ruleset

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/ruleset/internal/nft"
)

// An ICMP error quotes a packet of a connection. Connection tracking relates the error to the
// connection of the quoted packet, no matter which host sent the error. So an egress-isolated
// pod could send forged errors to both ends of every connection that this node tracks.
// Therefore an error from such a pod is evaluated against the pod's policies, unless the error
// quotes a packet that was sent to the pod.

// errorRules returns the rules that queue ICMP errors if they need a verdict. If the connection of
// the quoted packet is denied, these rules do not queue the error, because a later rule drops it.
func (c Config) errorRules() []nft.Expressions {
	rules := []nft.Expressions{
		append(nft.NotICMP(), nft.ReturnToCaller()),
		append(nft.ConnectionMarkIs(c.Marks.Mask, c.Marks.Denied), nft.ReturnToCaller()),
	}
	if !c.WithoutReversePath {
		rules = append(rules, append(nft.Join(inputInterfaceIn(egressLinks), nft.SourceHasNoReversePath()), nft.Drop()))
	}
	return append(rules, isolatedErrorsTo(enqueue, nil)...)
}

// isolatedErrorsTo returns rules that send ICMP errors from egress-isolated pods to a chain.
// The parameter `of` contains additional expressions that a packet must match.
func isolatedErrorsTo(chain string, of nft.Expressions) []nft.Expressions {
	return []nft.Expressions{
		append(nft.Join(of, nft.Protocol(unix.IPPROTO_ICMP), inSet(egress4)), nft.GoTo(chain)),
		append(nft.Join(of, nft.Protocol(unix.IPPROTO_ICMPV6), inSet(egress6)), nft.GoTo(chain)),
	}
}

// settleErrorRules returns the rules that carry out the verdict for an ICMP error. The rules do
// not mark the connection of the quoted packet, because the verdict depends on the sender of
// the error. The rules drop a denied error instead of rejecting it, because a reply to an ICMP
// error is not permitted.
func (c Config) settleErrorRules() []nft.Expressions {
	m := c.Marks
	denied := nft.MarkIs(m.Mask, m.Denied)
	return slices.Concat([]nft.Expressions{append(nft.NotICMP(), nft.ReturnToCaller())}, c.countDeniedRules(denied), []nft.Expressions{
		append(denied, nft.Drop()),
		nft.ClearMark(m.Mask),
		{nft.Accept()},
	})
}
