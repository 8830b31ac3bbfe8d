package lint

import (
	"fmt"
	"net/netip"

	"github.com/sluicenet/sluice/policy"
)

var hostBits = Check{
	Name:       "host-bits",
	Severities: []Severity{Note},
	Scopes:     []Scope{ScopePolicy},
	Doc:        "a cidr or except with host bits, such as 10.0.0.1/8 instead of 10.0.0.0/8",
	run: eachCIDR(func(p *pass, at place, c policy.CIDR) {
		written, err := netip.ParsePrefix(c.Text)
		if err != nil || written == c.Prefix {
			return
		}
		p.report(at, Note, fmt.Sprintf("write %s, or %s/%d for the one address", c.Prefix, written.Addr(), written.Addr().BitLen()),
			"%s means the network %s, and new API servers reject it", c.Text, c.Prefix)
	}),
}
