package text

import (
	"fmt"
	"net/netip"

	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/lint/internal/check"
)

// HostBits is the check host-bits.
var HostBits = check.Check{
	Name:       "host-bits",
	Severities: []check.Severity{check.Note},
	Scopes:     []check.Scope{check.ScopePolicy},
	Doc:        "a `cidr` or `except` entry with host bits, such as 10.0.0.1/8 instead of 10.0.0.0/8",
	Run: check.EachCIDR(func(p *check.Pass, at check.Place, c policy.CIDR) {
		written, err := netip.ParsePrefix(c.Text)
		if err != nil || written == c.Prefix {
			return
		}
		p.Report(at, check.Note, fmt.Sprintf("write %s, or %s/%d for the one address", c.Prefix, written.Addr(), written.Addr().BitLen()),
			"%s means the network %s, and new API servers reject it", c.Text, c.Prefix)
	}),
}
