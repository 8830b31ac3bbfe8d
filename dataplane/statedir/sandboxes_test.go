package statedir_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/statedir"
)

func sandboxesOf(names ...string) report.Sandboxes {
	s := report.Sandboxes{Available: true, Sandboxes: []report.Sandbox{}}
	for i, name := range names {
		s.Sandboxes = append(s.Sandboxes, report.Sandbox{
			Namespace: "shop", Name: name, UID: name, ContainerID: name, Network: "pods", Interface: "eth0",
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)})},
		})
	}
	return s
}

var compareAddresses = cmpopts.EquateComparable(netip.Addr{})

func TestSandboxesAreReadAsTheyWereWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if _, err := statedir.ReadSandboxes(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before the first publication: %v, want fs.ErrNotExist", err)
	}
	want := sandboxesOf("web", "db")
	want.Skipped, want.SkippedReason = 1, "too large"
	if err := statedir.WriteSandboxes(dir, want); err != nil {
		t.Fatal(err)
	}
	got, err := statedir.ReadSandboxes(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, compareAddresses); diff != "" {
		t.Errorf("-written +read:\n%s", diff)
	}
	info, err := os.Stat(statedir.Sandboxes(dir))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o640 || int(info.Sys().(*syscall.Stat_t).Gid) != os.Getegid() {
		t.Errorf("mode %o, group %d; want 640 and group %d", info.Mode().Perm(), info.Sys().(*syscall.Stat_t).Gid, os.Getegid())
	}
}

// A reader always reads a complete file, even if several processes publish at the same time.
func TestSandboxesArePublishedAtomically(t *testing.T) {
	dir := t.TempDir()
	if err := statedir.WriteSandboxes(dir, sandboxesOf("0")); err != nil {
		t.Fatal(err)
	}
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := range 200 {
				if err := statedir.WriteSandboxes(dir, sandboxesOf(make([]string, w*10+i%3)...)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	written := make(chan struct{})
	go func() {
		writers.Wait()
		close(written)
	}()
	for {
		select {
		case <-written:
			entries, err := os.ReadDir(dir)
			if err != nil || len(entries) != 1 {
				t.Errorf("left: %v, %v; want one file", entries, err)
			}
			return
		default:
			if _, err := statedir.ReadSandboxes(dir); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestWatchSandboxesDeliversEachChangeOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	ctx, stop := context.WithCancel(t.Context())
	deliveries, ended := make(chan string), make(chan error, 1)
	go func() {
		ended <- statedir.WatchSandboxes(ctx, dir, func(s report.Sandboxes, err error) {
			text := fmt.Sprintf("%d sandboxes", len(s.Sandboxes))
			if err != nil {
				text = "error"
			}
			select {
			case deliveries <- text:
			case <-ctx.Done():
			}
		})
	}()
	want := func(text string) {
		t.Helper()
		select {
		case got := <-deliveries:
			if got != text {
				t.Errorf("delivered %s, want %s", got, text)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: not delivered within 10 s", text)
		}
	}
	for _, names := range [][]string{{}, {"web"}, {"web", "db"}} {
		for range 2 {
			if err := statedir.WriteSandboxes(dir, sandboxesOf(names...)); err != nil {
				t.Fatal(err)
			}
		}
		want(fmt.Sprintf("%d sandboxes", len(names)))
	}
	if err := os.WriteFile(statedir.Sandboxes(dir), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	// os.WriteFile first creates an empty file and then writes the content. Both the empty file
	// and the complete file are invalid, so WatchSandboxes may deliver one or two errors.
	want("error")
	for {
		if err := statedir.WriteSandboxes(dir, sandboxesOf("a", "b", "c")); err != nil {
			t.Fatal(err)
		}
		if text := <-deliveries; text == "3 sandboxes" {
			break
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestRemoveRemovesTheSandboxes(t *testing.T) {
	dir := t.TempDir()
	if err := statedir.WriteSandboxes(dir, sandboxesOf("web")); err != nil {
		t.Fatal(err)
	}
	partial := filepath.Join(dir, ".partial.sandboxes.json")
	if err := os.WriteFile(partial, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := statedir.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("left: %v, %v", entries, err)
	}
}
