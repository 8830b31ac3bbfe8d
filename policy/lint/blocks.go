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
		c.asWritten(field+".cidr", b.CIDR, cidr)
		for j, except := range excepts {
			c.asWritten(fmt.Sprintf("%s.except[%d]", field, j), b.Except[j], except)
		}
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

// asWritten finds an address written where a network is meant, and numbers that
// others read as octal.
func (c *check) asWritten(field, text string, prefix netip.Prefix) {
	written, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		c.found(Warning, "leading-zeros", field, "write "+prefix.String(),
			"%s has leading zeros: it is read as %s here, may be read as octal elsewhere, and new API servers refuse it", text, prefix)
	case written != prefix:
		c.found(Note, "host-bits", field, fmt.Sprintf("write %s, or %s/%d for the one address", prefix, written.Addr(), written.Addr().BitLen()),
			"%s means the network %s, and new API servers refuse it", text, prefix)
	}
}
