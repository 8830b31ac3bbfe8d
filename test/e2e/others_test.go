package e2e_test

import (
	"errors"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/test/eventually"
)

// others is a table that another program may install on the node. Some of its chains run before
// the chains of Sluice, and set the program's own bits in packet marks and connection marks. The
// other chains run after the chains of Sluice. They drop a packet that has lost these bits, or
// whose mark contains the bits of Sluice.
const others = `
table inet others {
	set friends {
		type ipv4_addr
		flags interval
		elements = { 10.0.0.0/8, 192.168.0.0/16 }
	}

	chain before-forward {
		type filter hook forward priority -150; policy accept;
		meta mark set meta mark | 0x00010000
		ct mark set ct mark | 0x00002000
	}

	chain before-input {
		type filter hook input priority -150; policy accept;
		meta mark set meta mark | 0x00010000
		ct mark set ct mark | 0x00002000
	}

	chain behind-forward {
		type filter hook forward priority 20; policy accept;
		meta mark & 0x00010060 != 0x00010000 drop
		ct mark & 0x00002000 != 0x00002000 drop
	}

	chain behind-input {
		type filter hook input priority 120; policy accept;
		meta mark & 0x00010060 != 0x00010000 drop
		ct mark & 0x00002000 != 0x00002000 drop
	}
}
table ip sluice {
	chain forward {
		type filter hook forward priority filter; policy accept;
	}
}
`

// othersMark is the bit that the rules in `others` set in connection marks. ourMask contains the
// mark bits that Sluice uses.
const (
	othersMark uint32 = 0x2000
	ourMask    uint32 = 0x60
)

// nft runs the program nft on node one and returns its output.
func (s *fixture) nft(stdin string, args ...string) string {
	s.t.Helper()
	cmd := exec.Command("nft", args...)
	cmd.Stdin = strings.NewReader(stdin)
	var out []byte
	err := s.nodes["one"].Do(func() (err error) { out, err = cmd.CombinedOutput(); return err })
	if err != nil {
		s.t.Fatalf("%v: %v (Debian package nftables)\n%s", cmd, err, out)
	}
	return string(out)
}

// uninstall runs `sluice dataplane --uninstall` with further arguments on node one and returns
// its output.
func (s *fixture) uninstall(args ...string) string {
	s.t.Helper()
	cmd := exec.Command(sluice, append([]string{"dataplane", "--uninstall", "--state-dir", s.state.Path()}, args...)...)
	var out []byte
	err := s.nodes["one"].Do(func() (err error) { out, err = cmd.CombinedOutput(); return err })
	if err != nil {
		s.t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
	return string(out)
}

// marks returns the connection mark of each connection on node one. The key is the source
// address and source port of the connection.
func (s *fixture) marks() map[netip.AddrPort]uint32 {
	s.t.Helper()
	all, err := s.nodes["one"].Connections()
	s.must(err)
	out := map[netip.AddrPort]uint32{}
	for _, c := range all {
		out[netip.AddrPortFrom(c.TupleOrig.IP.SourceAddress, c.TupleOrig.Proto.SourcePort)] = c.Mark
	}
	return out
}

// Sluice does not change marks and rules of other programs, neither while the dataplane runs
// nor during the uninstallation.
func TestRulesAndMarksOfOtherProgramsStay(t *testing.T) {
	t.Parallel()
	s := newCluster(t, map[string]string{
		"shop/web": onlyProbe,
		"shop/db":  `{podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress, Egress], ingress: [{}], egress: [{}]}`,
	})
	s.nft(others, "-f", "-")
	s.serve(`
		web TCP 80 -> shop/web 8080
		hid TCP 80 -> shop/web 8080 masquerade
		db  UDP 80 -> shop/db  8080 masquerade
	`)
	// The output of nft after the uninstallation, including the handles of rules, must be the
	// same as before the dataplane started.
	before := s.nft("", "-a", "list", "ruleset")
	s.start()

	lines := `
		lab/probe -> shop/web TCP 8080 allowed
		lab/probe -> shop/db  SCTP 1   allowed
		lab/probe -> shop/db  ICMP     allowed
		shop/db   -> outside  UDP 53   allowed
		shop/db   -> node:one TCP 1    allowed
		lab/probe -> service:web       allowed
		lab/probe -> service:hid       allowed
		lab/probe -> service:db        allowed
		shop/web  -> service:hid       allowed
		shop/db   -> service:web       denied
	`
	s.want(lines)
	var streams []*stream
	for _, like := range families {
		streams = append(streams,
			s.open("lab/probe -> service:hid", like), s.open("lab/probe -> service:db", like),
			s.open("lab/far -> shop/db TCP 1", like), s.open("lab/probe -> outside UDP 1", like))
	}
	want := func(when string, ours map[*stream]uint32) {
		t.Helper()
		marks := s.marks()
		for _, st := range streams {
			got, ok := marks[netip.MustParseAddrPort(st.conn.LocalAddr().String())]
			if want := othersMark | ours[st]; !ok || got != want {
				t.Errorf("%s: the mark of %s is %#x, want %#x", when, st.name, got, want)
			}
		}
	}
	const accepted, denied = 0x20, 0x40
	ours := map[*stream]uint32{}
	for i, st := range streams {
		if i%4 < 3 {
			ours[st] = accepted
		}
	}
	want("at first", ours)
	s.set("shop/db", `{podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress, Egress], ingress: [{from: [{podSelector: {}}]}], egress: [{}]}`)
	s.enforce()
	for i, st := range streams {
		if i%4 == 1 || i%4 == 2 {
			ours[st] = denied
		}
	}
	want("under the next generation", ours)

	s.plane.stop()
	if out := s.uninstall(); !strings.Contains(out, "nothing is left") {
		t.Errorf("output of uninstalling: %s", out)
	}
	want("uninstalled", nil)
	if diff := cmp.Diff(before, s.nft("", "-a", "list", "ruleset")); diff != "" {
		t.Errorf("rules of others (-before +after):\n%s", diff)
	}
	for address, mark := range s.marks() {
		if mark&ourMask != 0 {
			t.Errorf("a connection of %s still has mark %#x", address, mark)
		}
	}
	// After the uninstallation, clients can open connections that policies deny.
	s.want(`
		shop/db  -> service:web       allowed
		lab/far  -> shop/web TCP 9999 allowed
		shop/web -> outside  UDP 53   allowed
	`)
	if out := s.uninstall(); !strings.Contains(out, "nothing is left") {
		t.Errorf("output of uninstalling twice: %s", out)
	}
}

// evaluateHasRules reports whether the chain `evaluate` of the table contains rules. A test that
// has removed the rules waits until evaluateHasRules returns true. It would not be sufficient to
// wait until the number of repairs increases, because the dataplane may repair the previous
// modification twice.
func (s *fixture) evaluateHasRules() bool {
	s.t.Helper()
	var rules []*nftables.Rule
	s.must(s.nodes["one"].Do(func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		table := &nftables.Table{Name: "sluice", Family: nftables.TableFamilyINet}
		rules, err = c.GetRules(table, &nftables.Chain{Name: "evaluate", Table: table})
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		return err
	}))
	return len(rules) > 0
}

// repairTime is the maximum time from a modification of the table until the dataplane has
// repaired the table.
const repairTime = 100 * time.Millisecond

// The dataplane reinstalls the table when another program removes or changes it.
func TestTableIsRepaired(t *testing.T) {
	t.Parallel()
	s := newFixture(t, map[string]string{"shop/web": onlyProbe})
	st := s.open("lab/probe -> shop/web TCP 8080", families[0])
	for _, damage := range [][]string{
		{"delete", "table", "inet", "sluice"},
		{"flush", "ruleset"},
		{"flush", "chain", "inet", "sluice", "evaluate"},
	} {
		fastest := limit
		for range 3 {
			before := s.plane.status().Repairs
			s.nft("", damage...)
			begin := time.Now()
			eventually.True(t, "the table is repaired after "+strings.Join(damage, " "), func() bool {
				return s.evaluateHasRules() && s.plane.status().Repairs > before
			})
			fastest = min(fastest, time.Since(begin))
		}
		// Compare only the fastest of three repairs with the limit, because other processes on
		// a busy machine can delay a repair.
		if fastest > repairTime {
			t.Errorf("%s: repaired after %s at best, want %s", strings.Join(damage, " "), fastest, repairTime)
		}
		s.want(`
			lab/probe -> shop/web  TCP 8080 allowed
			lab/probe -> shop/web  TCP 8081 denied
			shop/web  -> outside   UDP 53   denied
		`)
		s.each("after "+strings.Join(damage, " "), (*stream).goesOn, st)
	}
}

// Another program flushes the rules of kube-proxy, and kube-proxy adds its rules again. While
// the rules are missing, open connections to Services continue. Policies still apply to these
// connections, and to connections to the addresses of pods.
func TestRulesOfServicesAreFlushed(t *testing.T) {
	t.Parallel()
	s := newCluster(t, map[string]string{"shop/web": onlyProbe})
	services := `
		web TCP 80 -> shop/web 8080
		hid TCP 80 -> shop/web 8080 masquerade
		db  UDP 80 -> shop/db  8080
	`
	s.serve(services)
	s.start()
	direct := `
		lab/probe -> shop/web TCP 8080 allowed
		lab/far   -> shop/web TCP 8080 denied
		lab/probe -> shop/db  UDP 8080 allowed
	`
	var toWeb, toDB []*stream
	for _, like := range families {
		toWeb = append(toWeb, s.open("lab/probe -> service:web", like), s.open("lab/probe -> service:hid", like))
		toDB = append(toDB, s.open("lab/probe -> service:db", like))
	}
	s.nft("", "flush", "table", "inet", "lab-services")
	s.each("without the rules of kube-proxy", (*stream).goesOn, slices.Concat(toWeb, toDB)...)
	s.want(direct)
	s.set("shop/web", `{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress]}`)
	s.enforce()
	s.each("without the rules of kube-proxy, and denied", (*stream).isCut, toWeb...)
	s.each("without the rules of kube-proxy, and not isolated", (*stream).goesOn, toDB...)
	s.set("shop/web", onlyProbe)
	s.enforce()
	s.serve(services)
	s.want(direct + `
		lab/probe -> service:web allowed
		lab/probe -> service:hid allowed
		lab/far   -> service:web denied
		lab/probe -> service:db  allowed
	`)
}
