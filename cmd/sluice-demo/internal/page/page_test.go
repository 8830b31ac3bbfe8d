package page

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicenet/sluice/cmd/sluice-demo/internal/topology"
	"github.com/sluicenet/sluice/cmd/sluice-demo/internal/wire"
	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/test/lab"
)

// small returns the attempts between four ends, and the results of these attempts. A policy allows
// connections to the database only on the database's port, only over IPv4, and only from web and
// from the address in 192.0.2.0/24.
func small() (ends []*topology.End, ports []topology.Port, attempts []*wire.Attempt) {
	addresses := func(texts ...string) (out []netip.Addr) {
		for _, t := range texts {
			out = append(out, netip.MustParseAddr(t))
		}
		return out
	}
	db := &topology.End{Name: "shop/db", Kind: topology.KindPod, Addresses: addresses("10.0.0.1", "fd00::1"), Note: "app=db"}
	web := &topology.End{Name: "shop/web", Kind: topology.KindPod, Addresses: addresses("10.0.0.2", "fd00::2")}
	in := &topology.End{Name: "192.0.2.10", Kind: topology.KindOutside, Addresses: addresses("192.0.2.10"), Note: "in 192.0.2.0/24"}
	out := &topology.End{Name: "elsewhere", Kind: topology.KindOutside, Addresses: addresses("203.0.113.10", "2001:db8::10"), Note: "in no ipBlock"}
	ends = []*topology.End{db, web, in, out}
	ports = []topology.Port{{Protocol: flow.TCP, Number: 5432}, {Protocol: flow.UDP, Number: 53}}
	first, name := 0, "shop/db"
	attempts = wire.Attempts(ends, ports)
	for _, c := range attempts {
		c.Verdict, c.Result = rule.Allow, lab.Connected
		c.Egress = report.Side{Verdict: "Allow", Reason: "NotIsolated"}
		c.Ingress = c.Egress
		if c.To != db {
			continue
		}
		c.Ingress = report.Side{Verdict: "Deny", Reason: "NoRuleMatched", IsolatedBy: []string{"shop/db"}}
		if c.Port == ports[0] && c.Dst.Is4() && (c.From == in || c.From == web) {
			c.Ingress = report.Side{Verdict: "Allow", Reason: "Rule", Policy: &name, Rule: &first, IsolatedBy: []string{"shop/db"}}
			continue
		}
		c.Verdict, c.Result = rule.Deny, lab.TimedOut
	}
	return ends, ports, attempts
}

func render(width int, write func(*Page)) string {
	var out strings.Builder
	write(&Page{w: &out, width: width})
	return out.String()
}

func wantText(t *testing.T, want, got string) {
	t.Helper()
	if diff := cmp.Diff(strings.TrimPrefix(want, "\n"), strings.TrimPrefix(got, "\n")); diff != "" {
		t.Errorf("page (-want +got):\n%s", diff)
	}
}

func TestTables(t *testing.T) {
	ends, ports, attempts := small()
	wantText(t, `
  TCP 5432
                 the policies    the connections
  from, to →     a b c d         a b c d
  a  shop/db     - ✓ ✓ ✓         - ✓ ✓ ✓
  b  shop/web    4 - ✓ ✓         4 - ✓ ✓
  c  192.0.2.10  ✓ ✓ - -         ✓ ✓ - -
  d  elsewhere   ✗ ✓ - -         ✗ ✓ - -

  UDP 53
                 the policies    the connections
  from, to →     a b c d         a b c d
  a  shop/db     - ✓ ✓ ✓         - ✓ ✓ ✓
  b  shop/web    ✗ - ✓ ✓         ✗ - ✓ ✓
  c  192.0.2.10  ✗ ✓ - -         ✗ ✓ - -
  d  elsewhere   ✗ ✓ - -         ✗ ✓ - -
`, render(80, func(p *Page) {
		for _, table := range tables(ends, ports, attempts) {
			p.table(table, ends)
		}
	}))
}

func TestColumnsOfAWideTableContinueBelow(t *testing.T) {
	ends, ports, attempts := small()
	ports = ports[1:]
	wantText(t, `
  UDP 53
                 the policies    the connections
  from, to →     a b             a b
  a  shop/db     - ✓             - ✓
  b  shop/web    ✗ -             ✗ -
  c  192.0.2.10  ✗ ✓             ✗ ✓
  d  elsewhere   ✗ ✓             ✗ ✓
                 the policies    the connections
  from, to →     c d             c d
  a  shop/db     ✓ ✓             ✓ ✓
  b  shop/web    ✓ ✓             ✓ ✓
  c  192.0.2.10  - -             - -
  d  elsewhere   - -             - -
`, render(30, func(p *Page) { p.table(tables(ends, ports, attempts)[0], ends) }))
}

func TestMismatchesAreMarkedAndNamed(t *testing.T) {
	ends, ports, attempts := small()
	for _, c := range attempts {
		if c.From.Name == "shop/web" && c.To.Name == "shop/db" && c.Port == ports[1] && c.Dst.Is6() {
			c.Result = lab.Connected
		}
	}
	round := wire.NewRound("", attempts)
	if round.Differ != 1 {
		t.Errorf("%d connections differ, want 1", round.Differ)
	}
	wantText(t, `
  UDP 53
                 the policies    the connections
  from, to →     a b c d         a b c d
  a  shop/db     - ✓ ✓ ✓         - ✓ ✓ ✓
  b  shop/web    ✗ - ✓ ✓         6 - ✓ ✓ 1 differ!
  c  192.0.2.10  ✗ ✓ - -         ✗ ✓ - -
  d  elsewhere   ✗ ✓ - -         ✗ ✓ - -
  ! shop/web → shop/db  UDP 53  fd00::2 → fd00::1: verdict Deny, result connected
`, render(80, func(p *Page) {
		p.table(tables(ends, ports, attempts)[1], ends)
		p.mismatches(round)
	}))
}

func TestReasons(t *testing.T) {
	_, ports, attempts := small()
	wantText(t, `
  Into shop/db  isolated by shop/db
    ✓ TCP 5432: allowed by shop/db, spec.ingress[0]
        from shop/web (IPv4), 192.0.2.10
    ✗ TCP 5432: no rule allows it
        from shop/web (IPv6), elsewhere
    ✗ UDP 53: no rule allows it
        from all ends
  A pod's own node can always connect to the pod, because the kubelet's probes come from there.
`, render(80, func(p *Page) { p.Reasons(attempts, ports) }))
}

// For connections from web to other ports, the page must show the database's port as a near
// miss. The last rule allows only peers that are not in the cluster.
func TestNearMisses(t *testing.T) {
	_, ports, attempts := small()
	for _, c := range attempts {
		if c.Ingress.Verdict == "Deny" && c.Dst.Is4() && c.From.Name == "shop/web" {
			c.Ingress.NearMisses = []report.NearMiss{
				{Policy: "shop/db", Rule: 0, Differs: "port", Ports: []string{"TCP 5432"}},
				{Policy: "shop/db", Rule: 0, Differs: "peer"},
				{Policy: "shop/db", Rule: 1, Differs: "port", Ports: []string{"TCP 1", "TCP 2", "TCP 3", "TCP 4", "TCP 5-65535", "any SCTP"}},
				{Policy: "shop/more", Rule: 2, Differs: "peer"},
			}
		}
	}
	wantText(t, `
  Into shop/db  isolated by shop/db
    ✓ TCP 5432: allowed by shop/db, spec.ingress[0]
        from shop/web (IPv4), 192.0.2.10
    ✗ TCP 5432: no rule allows it
        from shop/web (IPv6), elsewhere
    ✗ UDP 53: no rule allows it
        from all ends
        right peer, wrong port: allowed on TCP 5432 (shop/db, spec.ingress[0])
          shop/web (IPv4)
        right peer, wrong port: allowed on TCP 1, TCP 2, TCP 3, TCP 4 and 2 more (shop/db, spec.ingress[1])
          shop/web (IPv4)
        right port, wrong peer: shop/more, spec.ingress[2] allows only peers outside this demo
  A pod's own node can always connect to the pod, because the kubelet's probes come from there.
`, render(80, func(p *Page) { p.Reasons(attempts, ports) }))
}

func TestEnds(t *testing.T) {
	ends, _, _ := small()
	wantText(t, `
  a  shop/db     10.0.0.1 fd00::1           app=db
  b  shop/web    10.0.0.2 fd00::2
  c  192.0.2.10  outside                    in 192.0.2.0/24
  d  elsewhere   203.0.113.10 2001:db8::10  in no ipBlock
`, render(80, func(p *Page) { p.Ends(ends) }))
}

func TestDifferences(t *testing.T) {
	_, ports, before := small()
	for name, test := range map[string]struct {
		// The function `opened` returns true for attempts that succeed after the change. The
		// function `closed` returns true for attempts that fail after the change.
		opened, closed func(*wire.Attempt) bool
		want           string
	}{
		"nothing": {want: `
    no result changes
`},
		"into one": {
			opened: func(c *wire.Attempt) bool { return c.Port == ports[0] },
			want: `
    4 → ✓  into shop/db, TCP 5432
           from shop/web
    ✗ → ✓  into shop/db, TCP 5432
           from elsewhere
`,
		},
		"out of one": {
			closed: func(c *wire.Attempt) bool { return c.From.Name == "shop/db" },
			want: `
    ✓ → ✗  out of shop/db, everything
           to shop/web, 192.0.2.10, elsewhere
`,
		},
		"into one and out of it": {
			closed: func(c *wire.Attempt) bool {
				return (c.From.Name == "shop/web" || c.To.Name == "shop/web") && c.Port == ports[1]
			},
			want: `
    ✓ → ✗  into shop/web, UDP 53
           from shop/db, 192.0.2.10, elsewhere
    ✓ → ✗  out of shop/web, UDP 53
           to 192.0.2.10, elsewhere
`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			after := make([]*wire.Attempt, len(before))
			for i, c := range before {
				changed := *c
				switch {
				case test.opened != nil && test.opened(c):
					changed.Result = lab.Connected
				case test.closed != nil && test.closed(c):
					changed.Result = lab.TimedOut
				}
				after[i] = &changed
			}
			wantText(t, test.want, render(80, func(p *Page) { p.Differences(before, after, ports) }))
		})
	}
}

func TestOpen(t *testing.T) {
	open := func(from, to string, protocol flow.Protocol, dst, verdict string) *wire.Open {
		return &wire.Open{From: from, To: to, Protocol: protocol.String(), Port: 80, Dst: netip.MustParseAddr(dst), Verdict: verdict}
	}
	cut := open("shop/web", "shop/db", flow.TCP, "10.0.0.1", "Deny")
	cut.Last, cut.Agrees = new(int64(9_840_000)), true
	kept := open("shop/db", "elsewhere", flow.UDP, "2001:db8::10", "Allow")
	kept.Continues, kept.Pause, kept.Agrees = true, new(int64(2_000_000)), true
	wrong := open("elsewhere", "shop/db", flow.UDP, "fd00::1", "Deny")
	wrong.Continues, wrong.Pause = true, new(int64(1_500_000))
	early := open("shop/web", "shop/db", flow.UDP, "fd00::1", "Deny")
	early.Last, early.Agrees = new(int64(-500_000)), true
	lost := open("shop/web", "elsewhere", flow.UDP, "2001:db8::10", "Allow")
	lost.Last = new(int64(-30_000_000))
	round := &wire.Round{Enforced: 12_300_000}
	round.AddOpen([]*wire.Open{cut, kept, wrong, early, lost})
	if round.Differ != 2 {
		t.Errorf("%d connections differ, want 2", round.Differ)
	}
	wantText(t, `
    Open connections. Times start at the publication, which was acknowledged after 12.3 ms.
    ✗ last data after 9.8 ms             shop/web downloads from shop/db, TCP 80, IPv4
    ✓ continues, longest pause 2.0 ms    shop/db exchanges with elsewhere, UDP 80, IPv6
    ✓ continues, longest pause 1.5 ms    elsewhere exchanges with shop/db, UDP 80, IPv6  differs!
    ✗ cut at once                        shop/web exchanges with shop/db, UDP 80, IPv6
    ✗ last data 30.0 ms before           shop/web exchanges with elsewhere, UDP 80, IPv6  differs!
  ! open during the change: elsewhere exchanges with shop/db, UDP 80, IPv6: verdict Deny, result: continues, longest pause 1.5 ms
  ! open during the change: shop/web exchanges with elsewhere, UDP 80, IPv6: verdict Allow, result: last data 30.0 ms before
`, render(80, func(p *Page) {
		p.Open(round)
		p.mismatches(round)
	}))
}
