package statedir_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/statedir"
)

func rangesOf(cluster ...string) report.PodRanges {
	r := report.PodRanges{Cluster: []netip.Prefix{}, Node: []netip.Prefix{netip.MustParsePrefix("10.244.1.0/24")}}
	for _, p := range cluster {
		r.Cluster = append(r.Cluster, netip.MustParsePrefix(p))
	}
	return r
}

func TestPodRangesAreReadAsTheyWereWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if _, err := statedir.ReadPodRanges(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before the first publication: %v, want fs.ErrNotExist", err)
	}
	want := rangesOf("10.244.0.0/16", "fd00:10:244::/56")
	for range 2 {
		if err := statedir.WritePodRanges(dir, want); err != nil {
			t.Fatal(err)
		}
	}
	got, err := statedir.ReadPodRanges(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Errorf("-written +read:\n%s", diff)
	}
	if _, err := statedir.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("left after Remove: %v, %v", entries, err)
	}
}

// writeRaw writes the given content to the file with the pod ranges.
func writeRaw(t testing.TB, dir, content string) {
	t.Helper()
	path := statedir.PodRanges(dir)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o600)); err != nil {
		t.Fatal(err)
	}
}

func TestInvalidPodRangesAreRejected(t *testing.T) {
	for name, content := range map[string]string{
		"not JSON":       `{`,
		"not a prefix":   `{"cluster": ["10.0.0.1"]}`,
		"empty":          `{"cluster": [""]}`,
		"all addresses":  `{"cluster": ["0.0.0.0/0"]}`,
		"host bits":      `{"node": ["10.0.0.1/8"]}`,
		"too many":       `{"cluster": [` + strings.Repeat(`"10.0.0.0/8",`, 256) + `"10.0.0.0/8"]}`,
		"too large":      `{"cluster": []` + strings.Repeat(" ", 64<<10) + `}`,
		"another object": `[]`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			writeRaw(t, dir, content)
			if r, err := statedir.ReadPodRanges(dir); err == nil || len(r.Cluster)+len(r.Node) > 0 {
				t.Errorf("%+v, %v; want an error", r, err)
			}
		})
	}
}

// For any content of the file, ReadPodRanges returns either an error or only valid ranges.
func FuzzReadPodRanges(f *testing.F) {
	f.Add(`{"cluster": ["10.244.0.0/16", "fd00::/48"], "node": ["10.244.1.0/24"]}`)
	f.Add(`{"cluster": [""], "node": null}`)
	f.Fuzz(func(t *testing.T, content string) {
		dir := t.TempDir()
		writeRaw(t, dir, content)
		r, err := statedir.ReadPodRanges(dir)
		if err != nil {
			return
		}
		for _, p := range append(r.Cluster, r.Node...) {
			if !p.IsValid() || p.Bits() == 0 {
				t.Errorf("accepted %s", p)
			}
		}
	})
}

func TestWatchPodRangesDeliversEachChangeOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	ctx, stop := context.WithCancel(t.Context())
	deliveries, ended := make(chan string), make(chan error, 1)
	go func() {
		ended <- statedir.WatchPodRanges(ctx, dir, func(r report.PodRanges, err error) {
			text := fmt.Sprintf("%d ranges", len(r.Cluster))
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
	for _, cluster := range [][]string{{}, {"10.244.0.0/16"}, {"10.244.0.0/16", "10.245.0.0/16"}} {
		for range 2 {
			if err := statedir.WritePodRanges(dir, rangesOf(cluster...)); err != nil {
				t.Fatal(err)
			}
		}
		want(fmt.Sprintf("%d ranges", len(cluster)))
	}
	if err := os.Rename(statedir.PodRanges(dir), filepath.Join(dir, "elsewhere")); err != nil {
		t.Fatal(err)
	}
	writeRaw(t, dir, "{")
	want("error")
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
