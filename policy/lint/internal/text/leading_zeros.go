package text

import (
	"net/netip"

	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/lint/internal/check"
)

// LeadingZeros is the check leading-zeros.
var LeadingZeros = check.Check{
	Name:       "leading-zeros",
	Severities: []check.Severity{check.Warning},
	Scopes:     []check.Scope{check.ScopePolicy},
	Doc:        "a `cidr` or `except` entry with leading zeros, because some programs read such numbers as octal",
	Run: check.EachCIDR(func(p *check.Pass, at check.Place, c policy.CIDR) {
		// At this point, ParsePrefix returns an error only if the text contains leading
		// zeros, because package policy removes CIDRs with other errors.
		if _, err := netip.ParsePrefix(c.Text); err != nil {
			p.Report(at, check.Warning, "write "+c.Prefix.String(),
				"%s has leading zeros: Sluice reads it as %s, other programs may read it as octal, and new API servers reject it", c.Text, c.Prefix)
		}
	}),
}
