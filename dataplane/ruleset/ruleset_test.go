package ruleset_test

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicenet/sluice/dataplane/ruleset"
	"github.com/sluicenet/sluice/test/golden"
	"github.com/sluicenet/sluice/test/lab"
)

// host returns a new network namespace.
func host(t *testing.T) *lab.Host {
	t.Helper()
	l, err := lab.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l.Outside
}

// do calls a function in the host's network namespace. The test fails if the function
// returns an error.
func do(t *testing.T, h *lab.Host, call func() error) {
	t.Helper()
	if err := h.Do(call); err != nil {
		t.Fatal(err)
	}
}

// nft runs the program nft in the host's network namespace, and returns its output.
func nft(t *testing.T, h *lab.Host, stdin string, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command("nft", args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewBufferString(stdin), &stdout, &stderr
	do(t, h, cmd.Start)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("nft %v: %v\n%s", args, err, &stderr)
	}
	return stdout.String()
}

func config(t *testing.T, deny ruleset.Deny) ruleset.Config {
	t.Helper()
	marks, err := ruleset.MarksOf(ruleset.DefaultMask)
	if err != nil {
		t.Fatal(err)
	}
	kernel, err := ruleset.FindKernel()
	if err != nil {
		t.Fatal(err)
	}
	return ruleset.Config{
		Marks: marks, QueueBase: 2700, Queues: 4, FloodQueue: 2710,
		FailurePolicy: ruleset.FailClosed, Deny: deny, Queueing: kernel.Queueing,
	}
}

var addresses = ruleset.Addresses{
	Egress:  []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")},
	Ingress: []netip.Addr{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("fd00::2")},
	Known:   []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("fd00::1")},
}

// links contains the only interface that exists in every network namespace: lo, with index 1.
var links = ruleset.Links{
	Linked: []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.3"), netip.MustParseAddr("fd00::3")},
	Egress: []uint32{1}, Closed: []uint32{1}, Uplinks: []uint32{1},
}

func install(t *testing.T, h *lab.Host, c ruleset.Config) *ruleset.Table {
	t.Helper()
	var table *ruleset.Table
	do(t, h, func() (err error) {
		table, err = ruleset.Open(c)
		return err
	})
	t.Cleanup(func() {
		if err := table.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := table.SetLinks(links); err != nil {
		t.Fatal(err)
	}
	if err := table.Install(addresses); err != nil {
		t.Fatal(err)
	}
	return table
}

// queueLine matches a line of nft's output with a rule that queues packets. nft prints a queue
// expression as text, but some versions print nothing for an NFQUEUE target.
var queueLine = regexp.MustCompile(`(?m)^\t\t(jhash \S+ \S+ mod \d+ seed 0x\w+ \d+|)( ?queue .*| ?xt target.*|)$`)

// warning matches the line that nft prints above a table with an xtables target.
var warning = regexp.MustCompile(`(?m)^# Warning: .*\n`)

func list(t *testing.T, h *lab.Host) string {
	t.Helper()
	text := nft(t, h, "", "list", "table", "inet", "sluice")
	text = strings.ReplaceAll(queueLine.ReplaceAllString(text, "\t\t$1 queue"), "\t\t queue", "\t\tqueue")
	return warning.ReplaceAllString(text, "")
}

func TestTableAsNftListsIt(t *testing.T) {
	open := config(t, ruleset.Drop)
	open.FailurePolicy = ruleset.FailOpen
	older := config(t, ruleset.Drop)
	older.WithoutReversePath = true
	holding := config(t, ruleset.Drop)
	holding.Hold = true
	holdingOpen := open
	holdingOpen.Hold = true
	single := config(t, ruleset.Drop)
	single.FloodQueue = 0
	for name, c := range map[string]ruleset.Config{
		"WithoutLanes": single, "Drop": config(t, ruleset.Drop), "Reject": config(t, ruleset.Reject), "Open": open, "WithoutReversePath": older, "Hold": holding, "HoldOpen": holdingOpen,
	} {
		t.Run(name, func(t *testing.T) {
			h := host(t)
			install(t, h, c)
			got := list(t, h)
			golden.Compare(t, filepath.Join("testdata", name+".nft"), got)
			// nft must be able to load the text and list the same table again. nft cannot
			// load the NFQUEUE target, so the test first removes the target from the rules.
			text := strings.ReplaceAll(strings.ReplaceAll(got, "\t\tqueue\n", ""), " queue\n", "\n")
			other := host(t)
			nft(t, other, text, "-f", "-")
			if diff := cmp.Diff(text, nft(t, other, "", "list", "table", "inet", "sluice")); diff != "" {
				t.Errorf("loaded by nft (-ours +nft's):\n%s", diff)
			}
		})
	}
}

func TestInstallRepairsAnExistingTable(t *testing.T) {
	h := host(t)
	install(t, h, config(t, ruleset.Reject))
	fresh := list(t, h)
	for name, damage := range map[string]string{
		"no damage":           "",
		"a set lost elements": "flush set inet sluice ingress4",
		"a set lost a link":   "flush set inet sluice closed-links",
		"a set lost a pod":    "flush set inet sluice linked6",
		"a foreign element":   "add element inet sluice egress4 { 192.0.2.1 }",
		"a chain lost rules":  "flush chain inet sluice settle",
		"a foreign rule":      "insert rule inet sluice evaluate accept",
		"a policy":            "add chain inet sluice forward { policy drop; }",
		"a foreign counter":   "add counter inet sluice c",
		"dormant":             "add table inet sluice { flags dormant; }",
		"the table is gone":   "delete table inet sluice",
	} {
		t.Run(name, func(t *testing.T) {
			nft(t, h, damage, "-f", "-")
			install(t, h, config(t, ruleset.Reject))
			if diff := cmp.Diff(fresh, list(t, h)); diff != "" {
				t.Errorf("after the repair (-fresh +got):\n%s", diff)
			}
		})
	}
}

func TestInstallRejectsBaseChainsWithAnotherPriority(t *testing.T) {
	h := host(t)
	nft(t, h, "table inet sluice { chain forward { type filter hook forward priority 7; policy accept; }; }", "-f", "-")
	c := config(t, ruleset.Drop)
	do(t, h, func() error {
		table, err := ruleset.Open(c)
		if err != nil {
			return err
		}
		if err := table.Install(addresses); !errors.Is(err, ruleset.ErrForeignShape) {
			t.Errorf("Install: %v, want ErrForeignShape", err)
		}
		return table.Close()
	})
}

func TestUninstallKeepsTheTablesOfOtherPrograms(t *testing.T) {
	h := host(t)
	nft(t, h, "table inet other { chain c { type filter hook forward priority 0; policy accept; }; }", "-f", "-")
	before := nft(t, h, "", "list", "ruleset")
	install(t, h, config(t, ruleset.Drop))
	do(t, h, ruleset.Uninstall)
	if diff := cmp.Diff(before, nft(t, h, "", "list", "ruleset")); diff != "" {
		t.Errorf("after Uninstall (-before +got):\n%s", diff)
	}
	do(t, h, ruleset.Uninstall)
}

func TestSetsOfManyElements(t *testing.T) {
	h := host(t)
	table := install(t, h, config(t, ruleset.Drop))
	var many ruleset.Addresses
	for i := range 5000 {
		many.Ingress = append(many.Ingress, netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}))
	}
	for _, want := range []ruleset.Addresses{many, {Ingress: many.Ingress[2500:]}, addresses} {
		if err := table.SetAddresses(want); err != nil {
			t.Fatal(err)
		}
	}
	install(t, h, config(t, ruleset.Drop))
	want, err := os.ReadFile(filepath.Join("testdata", "Drop.nft"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), list(t, h)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestMarksOf(t *testing.T) {
	for mask, ok := range map[uint32]bool{0x60: true, 0x80000001: true, 0: false, 0x10: false, 0x70: false} {
		m, err := ruleset.MarksOf(mask)
		if (err == nil) != ok {
			t.Errorf("MarksOf(%#x): %v", mask, err)
		}
		if ok && (m.Accepted >= m.Denied || m.Accepted|m.Denied != mask || m.Either != mask) {
			t.Errorf("MarksOf(%#x) = %+v", mask, m)
		}
	}
	m, err := ruleset.MarksOf(0x60)
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Set(0x4041, m.Accepted); got != 0x4021 {
		t.Errorf("Set changed other bits: %#x, want 0x4021", got)
	}
}
