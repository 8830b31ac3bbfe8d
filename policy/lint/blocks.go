package lint

import (
	"fmt"
	"net/netip"
	"slices"
)

// blocks looks at the address blocks of one rule.
func (c *check) blocks(r *ruleOf) {
	for i := range r.peers {
		b := r.peers[i].IPBlock
		if b == nil {
			continue
		}
		cidr, excepts, ok := prefixes(b)
		if !ok {
			continue
		}
		field := fmt.Sprintf("%s[%d].ipBlock", r.peersField, i)
		if at := slices.Index(excepts, cidr); at >= 0 {
			c.found(Warning, "except-equals-cidr", fmt.Sprintf("%s.except[%d]", field, at), "narrow the except, or take the entry away",
				"the except is the whole cidr %s: this entry allows nothing", cidr)
			continue
		}
		c.hostBits(field, b.CIDR, cidr)
		pods := c.within(b)
		switch {
		case len(pods) == 0:
		case cidr.IsSingleIP():
			c.found(Warning, "block-of-pod", field+".cidr", "select the pod by its labels; pods come back with other addresses",
				"%s is the address of pod %s", cidr.Addr(), list(pods))
		default:
			c.found(Note, "block-of-pod", field+".cidr",
				"select pods by their labels, and except the pod network from the block; some implementations match no pod by ipBlock",
				"the block holds the addresses of %s too: %s", number(len(pods), "pod"), list(pods))
		}
	}
}

// hostBits finds an address written where a network is meant.
func (c *check) hostBits(field, text string, cidr netip.Prefix) {
	if written, err := netip.ParsePrefix(text); err == nil && written.Addr() != cidr.Addr() {
		c.found(Note, "host-bits", field+".cidr", fmt.Sprintf("write %s, or %s/%d for the one address", cidr, written.Addr(), written.Addr().BitLen()),
			"%s means the network %s", text, cidr)
	}
}
