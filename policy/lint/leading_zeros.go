package lint

import (
	"net/netip"

	"github.com/sluicenet/sluice/policy"
)

var leadingZeros = Check{
	Name:       "leading-zeros",
	Severities: []Severity{Warning},
	Scopes:     []Scope{ScopePolicy},
	Doc:        "a cidr or except with leading zeros, which some programs read as octal",
	run: eachCIDR(func(p *pass, at place, c policy.CIDR) {
		// At this point, ParsePrefix returns an error only if the text contains leading
		// zeros, because package policy removes CIDRs with other errors.
		if _, err := netip.ParsePrefix(c.Text); err != nil {
			p.report(at, Warning, "write "+c.Prefix.String(),
				"%s has leading zeros: Sluice reads it as %s, other programs may read it as octal, and new API servers reject it", c.Text, c.Prefix)
		}
	}),
}
