package ruleset_test

import (
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicenet/sluice/dataplane/ruleset"
)

// After the kernel has rejected a transaction, the netlink connection can still be used.
func TestInstallAfterARejectedTransaction(t *testing.T) {
	h := host(t)
	table := install(t, h, config(t, ruleset.Drop))
	fresh := list(t, h)
	for range 3 {
		nft(t, h, "", "delete", "table", "inet", "sluice")
		if err := table.SetAddresses(ruleset.Addresses{}); err == nil {
			t.Error("SetAddresses without a table: no error")
		}
		if err := table.Install(addresses); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(fresh, list(t, h)); diff != "" {
			t.Errorf("(-fresh +got):\n%s", diff)
		}
	}
}

// Install succeeds even while other programs change the table constantly.
func TestInstallWhileOtherProgramsChangeTheTable(t *testing.T) {
	h := host(t)
	table := install(t, h, config(t, ruleset.Drop))
	fresh := list(t, h)
	stop := make(chan struct{})
	var running sync.WaitGroup
	for _, script := range []string{
		"delete table inet sluice",
		"add chain inet sluice other; add rule inet sluice evaluate jump other",
		"flush set inet sluice ingress4",
		"add element inet sluice ingress4 { 192.0.2.1, 192.0.2.2 }",
	} {
		running.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				cmd := exec.Command("nft", "-f", "-")
				cmd.Stdin = strings.NewReader(script)
				_ = h.Do(cmd.Run) // Ignore the error: the command fails if a concurrent change has made it invalid.
			}
		})
	}
	for i := range 200 {
		if err := table.Install(ruleset.Addresses{Ingress: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})}}); err != nil {
			t.Errorf("installation %d: %v", i, err)
		}
	}
	close(stop)
	running.Wait()
	if err := table.Install(addresses); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fresh, list(t, h)); diff != "" {
		t.Errorf("(-fresh +got):\n%s", diff)
	}
}

// If another program deletes the table while Install runs, and Install creates a new table,
// the new table must contain the addresses of all isolated pods. Otherwise denied flows
// would be accepted until the next repair.
func TestInstallAddsAllElementsIfTheTableIsDeletedMeanwhile(t *testing.T) {
	h := host(t)
	table := install(t, h, config(t, ruleset.Drop))
	fresh := list(t, h)
	// Each iteration deletes the table at a different time after the start of Install.
	const attempts, longest = 100, 5 * time.Millisecond
	created := 0
	for i := range attempts {
		var installing sync.WaitGroup
		installing.Go(func() {
			if err := table.Install(addresses); err != nil {
				t.Error(err)
			}
		})
		<-time.After(time.Duration(i) * longest / attempts)
		// Uninstall returns an error if Install creates the table again before Uninstall has
		// verified that the table no longer exists.
		_ = h.Do(ruleset.Uninstall)
		installing.Wait()
		if strings.Contains(nft(t, h, "", "list", "tables"), "sluice") {
			created++
			if diff := cmp.Diff(fresh, list(t, h)); diff != "" {
				t.Fatalf("attempt %d (-fresh +got):\n%s", i, diff)
			}
		}
		if err := table.Install(addresses); err != nil {
			t.Fatal(err)
		}
	}
	if created == 0 {
		t.Errorf("in all of %d attempts, the table was deleted after Install had finished; want some deletions before the end of Install", attempts)
	}
}

// Install replaces a table that was installed with another configuration.
func TestInstallOverAnotherConfiguration(t *testing.T) {
	h := host(t)
	c := config(t, ruleset.Drop)
	install(t, h, c)
	fresh := list(t, h)
	other := config(t, ruleset.Reject)
	other.QueueBase, other.Queues, other.FailurePolicy = 7, 1, ruleset.FailOpen
	var err error
	if other.Marks, err = ruleset.MarksOf(0x300); err != nil {
		t.Fatal(err)
	}
	install(t, h, other)
	install(t, h, c)
	if diff := cmp.Diff(fresh, list(t, h)); diff != "" {
		t.Errorf("(-fresh +got):\n%s", diff)
	}
}

// Install removes objects that another program has added to the table. It also removes objects
// that have the name of a Sluice object, but another type or hook. Such objects could accept or
// drop packets.
func TestInstallRemovesForeignObjects(t *testing.T) {
	h := host(t)
	install(t, h, config(t, ruleset.Drop))
	fresh := list(t, h)
	for name, before := range map[string]string{
		"base chain":  "table inet sluice { chain other { type filter hook forward priority 20; policy drop; }; }",
		"chain":       "table inet sluice { chain one { jump two; }; chain two { accept; }; }",
		"set":         "table inet sluice { set others { type ipv4_addr; elements = { 10.9.0.1 }; }; chain users { ip saddr @others accept; }; }",
		"set shape":   "table inet sluice { set ingress4 { type ipv4_addr; flags interval; elements = { 10.9.0.0/16 }; }; }",
		"set timeout": "table inet sluice { set ingress4 { type ipv4_addr; timeout 1s; }; }",
	} {
		t.Run(name, func(t *testing.T) {
			h := host(t)
			nft(t, h, before, "-f", "-")
			install(t, h, config(t, ruleset.Drop))
			if diff := cmp.Diff(fresh, list(t, h)); diff != "" {
				t.Errorf("(-fresh +got):\n%s", diff)
			}
		})
	}
}
