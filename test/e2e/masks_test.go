package e2e_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sluicenet/sluice/dataplane/status"
	"github.com/sluicenet/sluice/test/eventually"
)

const (
	// otherMask is a mark mask that shares no bit with the default mask ourMask.
	otherMask = "0x30000"
	// onlyIngress isolates shop/db for ingress and allows connections from every client.
	onlyIngress = `{podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress], ingress: [{}]}`
	// onlyIngressOverTCP isolates shop/db for ingress and allows only TCP connections,
	// from every client.
	onlyIngressOverTCP = `{podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress], ingress: [{ports: [{protocol: TCP}]}]}`
)

// openToDB opens a TCP stream and a UDP stream to shop/db over each address family.
func (s *fixture) openToDB() (overTCP, overUDP []*stream) {
	s.t.Helper()
	for _, like := range families {
		overTCP = append(overTCP, s.open("lab/far -> shop/db TCP 1", like))
		overUDP = append(overUDP, s.open("lab/far -> shop/db UDP 2", like))
	}
	return overTCP, overUDP
}

// wantMarks checks that the connection of each stream has exactly the given mark.
func (s *fixture) wantMarks(when string, want uint32, streams ...*stream) {
	s.t.Helper()
	marks := s.marks()
	for _, st := range streams {
		got, ok := marks[netip.MustParseAddrPort(st.conn.LocalAddr().String())]
		if !ok || got != want {
			s.t.Errorf("%s: the mark of %s is %#x, want %#x", when, st.name, got, want)
		}
	}
}

// wantNoMarks checks that no connection has a mark bit of the given mask.
func (s *fixture) wantNoMarks(when string, mask uint32) {
	s.t.Helper()
	for address, mark := range s.marks() {
		if mark&mask != 0 {
			s.t.Errorf("%s: a connection of %s has mark %#x", when, address, mark)
		}
	}
}

// A dataplane starts with another mark mask than the previous dataplane. It must remove the bits
// of the old mask from open connections before it acknowledges a generation. Verdicts do not
// change, and the uninstallation removes the bits of both masks.
func TestMarkMaskChanges(t *testing.T) {
	t.Parallel()
	for _, takeOver := range []bool{true, false} {
		s := newFixture(t, map[string]string{"shop/db": onlyIngress})
		overTCP, overUDP := s.openToDB()
		s.set("shop/db", onlyIngressOverTCP)
		s.enforce()
		s.wantMarks("with the first mask", 0x20, overTCP...)
		s.wantMarks("with the first mask", 0x40, overUDP...)
		before := s.plane
		if !takeOver {
			before.stop()
		}
		s.start("--mark-mask", otherMask)
		// During the takeover, it can happen that neither dataplane responds, so retry.
		eventually.NoError(t, func() error {
			got, err := status.Read(t.Context(), s.plane.stateDir)
			if err == nil && got.MarkMask != 0x30000 {
				err = fmt.Errorf("mark mask %#x, want that of the second dataplane", got.MarkMask)
			}
			return err
		})
		s.wantMarks("with the second mask", 0x10000, overTCP...)
		s.wantMarks("with the second mask", 0x20000, overUDP...)
		s.wantNoMarks("with the second mask", ourMask)
		s.each("with the second mask", (*stream).goesOn, overTCP...)
		s.each("with the second mask", (*stream).isCut, overUDP...)
		before.stop()
		s.plane.stop()
		if out := s.uninstall(); !strings.Contains(out, "nothing is left") {
			t.Errorf("output of uninstalling: %s", out)
		}
		s.wantNoMarks("uninstalled", ourMask|0x30000)
	}
}

// A dataplane does not start if its mask shares a bit with the mask of the installed rules.
// Otherwise it would misread the verdicts in the marks of open connections.
func TestMarkMaskSharesABitWithTheInstalledRules(t *testing.T) {
	t.Parallel()
	s := newFixture(t, map[string]string{"shop/db": onlyIngress})
	overTCP, _ := s.openToDB()
	s.plane.stop()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, sluice, "dataplane", "--state-dir", s.state.Path(), "--mark-mask", "0xc0")
	var out []byte
	err := s.nodes["one"].Do(func() (err error) { out, err = cmd.CombinedOutput(); return err })
	if err == nil || !strings.Contains(string(out), "0x60") || !strings.Contains(string(out), "--uninstall") {
		t.Errorf("error %v, output %s; want an error that names the installed mask and a fix", err, out)
	}
	s.start()
	s.wantMarks("with the first mask again", 0x20, overTCP...)
}

// The uninstallation removes the marks of all masks that were used on the node. It does not depend
// on the value of --mark-mask, and works even if the state directory has been lost.
func TestUninstallRemovesTheMarksOfEveryMask(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*fixture){
		"another mask":           func(*fixture) {},
		"a lost state directory": func(s *fixture) { s.must(emptyDir(s.state.Path())) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newFixture(t, map[string]string{"shop/db": onlyIngress}, "--mark-mask", "0x600")
			overTCP, overUDP := s.openToDB()
			s.wantMarks("enforced", 0x200, slices.Concat(overTCP, overUDP)...)
			s.plane.stop()
			lose(s)
			if out := s.uninstall("--mark-mask", otherMask); !strings.Contains(out, "nothing is left") || !strings.Contains(out, "0x600") {
				t.Errorf("output of uninstalling: %s", out)
			}
			s.wantNoMarks("uninstalled", 0x600)
		})
	}
}

func emptyDir(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return err
}

// sameBits is a table of another program that sets the mark bits of the default mask.
const sameBits = `
table inet others {
	chain forward {
		type filter hook forward priority 100; policy accept;
		ct mark set ct mark | 0x00000060
	}
}
`

// If no dataplane has run on the node, the uninstallation succeeds even if another program uses the
// same mark bits. The marks of the other program do not change.
func TestUninstallLeavesTheMarksOfOtherProgramsAlone(t *testing.T) {
	t.Parallel()
	s := newCluster(t, nil)
	s.nft(sameBits, "-f", "-")
	overTCP, overUDP := s.openToDB()
	all := slices.Concat(overTCP, overUDP)
	s.wantMarks("marked by another program", 0x60, all...)
	stop := s.watch(overTCP)
	out := s.uninstall()
	s.must(stop())
	if !strings.Contains(out, "nothing is left") || !strings.Contains(out, "no dataplane has run") {
		t.Errorf("output of uninstalling: %s", out)
	}
	s.wantMarks("uninstalled", 0x60, all...)
}

// After a dataplane has run, the uninstallation succeeds even if another program keeps setting the
// same mark bits. The output of the uninstallation names these bits.
func TestUninstallWhileAnotherProgramSetsTheSameMarks(t *testing.T) {
	t.Parallel()
	s := newFixture(t, map[string]string{"shop/db": onlyIngress})
	overTCP, _ := s.openToDB()
	s.plane.stop()
	s.nft(sameBits, "-f", "-")
	stop := s.watch(overTCP)
	out := s.uninstall()
	s.must(stop())
	if !strings.Contains(out, "nothing is left") || !strings.Contains(out, "another program sets mark bits 0x60") {
		t.Errorf("output of uninstalling: %s", out)
	}
}

// The uninstallation succeeds even if the state directory contains a file that Sluice did not
// create. The file is kept, and the output names it.
func TestUninstallLeavesForeignFiles(t *testing.T) {
	t.Parallel()
	s := newFixture(t, nil)
	s.plane.stop()
	notes := filepath.Join(s.state.Path(), "tree", "notes")
	s.must(os.WriteFile(notes, nil, 0o600))
	if out := s.uninstall(); !strings.Contains(out, "nothing is left") || !strings.Contains(out, notes) {
		t.Errorf("output of uninstalling: %s", out)
	}
	eventually.True(t, "only the foreign file is left", func() bool {
		entries, err := os.ReadDir(filepath.Dir(notes))
		return err == nil && len(entries) == 1
	})
}
