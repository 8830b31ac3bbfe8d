package sandbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/sandbox"
)

// result returns the content of a result file of libcni. The pod's namespace is "shop", its
// network is "pods", and its UID and container ID are derived from its name.
func result(pod, hostInterface string, addresses ...string) []byte {
	type object = map[string]any
	var ips, interfaces []object
	for _, a := range addresses {
		ips = append(ips, object{"address": a + "/32"})
	}
	if hostInterface != "" {
		interfaces = append(interfaces, object{"name": hostInterface})
	}
	interfaces = append(interfaces, object{"name": "eth0", "sandbox": "/run/netns/" + pod})
	content, err := json.Marshal(object{
		"kind": "cniCacheV1", "containerId": "c-" + pod, "ifName": "eth0", "networkName": "pods",
		"cniArgs": [][2]string{{"K8S_POD_NAMESPACE", "shop"}, {"K8S_POD_NAME", pod}, {"K8S_POD_UID", "u-" + pod}},
		"result":  object{"cniVersion": "1.0.0", "interfaces": interfaces, "ips": ips},
	})
	if err != nil {
		return nil // Ignore the error: if the file is empty, the watcher finds no pod and the test fails.
	}
	return content
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// The function `watching` starts a watcher that runs until the test ends. It returns the
// deliveries of the watcher.
func watching(t *testing.T, dir string) *deliveries {
	t.Helper()
	d := &deliveries{t, make(chan report.Sandboxes, 10_000)}
	run(t, dir, d)
	return d
}

func run(t *testing.T, dir string, d *deliveries) {
	t.Helper()
	w, err := sandbox.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		w.Run(ctx, func(s report.Sandboxes) error {
			select {
			case d.c <- s:
			case <-ctx.Done():
			}
			return nil
		})
		close(ended)
	}()
	t.Cleanup(func() {
		stop()
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Error("the watcher did not end within 10 s")
		}
	})
}

type deliveries struct {
	t *testing.T
	c chan report.Sandboxes
}

// want waits until a delivery contains exactly the given pods with their addresses, for
// example "web 10.0.0.1".
func (d *deliveries) want(pods ...string) report.Sandboxes {
	d.t.Helper()
	return d.until(fmt.Sprint(pods), func(s report.Sandboxes) bool { return s.Available && slices.Equal(textOf(s), pods) })
}

func (d *deliveries) until(what string, ok func(report.Sandboxes) bool) report.Sandboxes {
	d.t.Helper()
	var last report.Sandboxes
	for end := time.After(10 * time.Second); ; {
		select {
		case last = <-d.c:
			if ok(last) {
				return last
			}
		case <-end:
			d.t.Fatalf("want %s within 10 s; last delivery: %+v", what, last)
		}
	}
}

func textOf(s report.Sandboxes) []string {
	var out []string
	for _, box := range s.Sandboxes {
		text := box.Name
		for _, a := range box.Addresses {
			text += " " + a.String()
		}
		out = append(out, text)
	}
	return out
}

func TestASandboxIsReportedWhileItsFileExists(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "pods-c-web-eth0"), result("web", "", "10.0.0.1", "fd00::1"))
	d := watching(t, dir)
	d.want("web 10.0.0.1 fd00::1")
	write(t, filepath.Join(dir, "pods-c-db-eth0"), result("db", "lo", "10.0.0.2"))
	s := d.want("db 10.0.0.2", "web 10.0.0.1 fd00::1")
	if got := s.Sandboxes[0]; got.HostInterface != "lo" || got.UID != "u-db" || got.ContainerID != "c-db" || got.Network != "pods" {
		t.Errorf("got %+v", got)
	}
	if err := os.Remove(filepath.Join(dir, "pods-c-web-eth0")); err != nil {
		t.Fatal(err)
	}
	d.want("db 10.0.0.2")
	// A file that is renamed into the directory is reported as well.
	outside := filepath.Join(t.TempDir(), "file")
	write(t, outside, result("late", "", "10.0.0.3"))
	if err := os.Rename(outside, filepath.Join(dir, "pods-c-late-eth0")); err != nil {
		t.Fatal(err)
	}
	d.want("db 10.0.0.2", "late 10.0.0.3")
}

// The watcher reports a new file within a few milliseconds, so that the agent can publish a
// tree before the first container of the pod starts.
func TestANewFileIsReportedAtOnce(t *testing.T) {
	dir := t.TempDir()
	d := watching(t, dir)
	d.want()
	var delays []time.Duration
	for i := range 20 {
		start := time.Now()
		path := filepath.Join(dir, "pods-c-web-eth0")
		write(t, path, result("web", "", "10.0.0.1"))
		d.want("web 10.0.0.1")
		delays = append(delays, time.Since(start))
		if err := os.Remove(path); err != nil {
			t.Fatal(i, err)
		}
		d.want()
	}
	slices.Sort(delays)
	if median := delays[len(delays)/2]; median > 50*time.Millisecond {
		t.Errorf("median %v, want at most 50 ms: %v", median, delays)
	} else {
		t.Logf("median %v, largest %v", median, delays[len(delays)-1])
	}
}

// libcni creates an empty file and then writes the content to it.
func TestAFileThatIsBeingWrittenIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	d := watching(t, dir)
	d.want()
	content := result("web", "", "10.0.0.1")
	file, err := os.OpenFile(filepath.Join(dir, "pods-c-web-eth0"), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for i, part := range [][]byte{nil, content[:10], content[10:100], content[100:]} {
		if _, err := file.Write(part); err != nil {
			t.Fatal(err)
		}
		// When another file is written and closed, the watcher reads the directory.
		write(t, filepath.Join(dir, fmt.Sprint("pods-c-", i)), result(fmt.Sprint("other-", i), "", fmt.Sprint("10.0.1.", i)))
		d.until(fmt.Sprint("other-", i), func(s report.Sandboxes) bool {
			return strings.Contains(strings.Join(textOf(s), " "), fmt.Sprint("other-", i))
		})
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case s := <-d.c:
		if !slices.Contains(textOf(s), "web 10.0.0.1") {
			d.until("web", func(s report.Sandboxes) bool { return slices.Contains(textOf(s), "web 10.0.0.1") })
		}
	default:
		// The method `until` may already have consumed a delivery that contained the complete
		// file. Write one more file, so that the watcher makes another delivery.
		write(t, filepath.Join(dir, "pods-c-last"), result("last", "", "10.0.2.1"))
		d.until("web", func(s report.Sandboxes) bool { return slices.Contains(textOf(s), "web 10.0.0.1") })
	}
}

func TestTheDirectoryMayAppearLaterAndBeReplaced(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cni", "results")
	d := watching(t, dir)
	unavailable := func(s report.Sandboxes) bool {
		return !s.Available && len(s.Sandboxes) == 0 && strings.Contains(s.Reason, "no such file or directory")
	}
	d.until("unavailable", unavailable)
	create := func() {
		t.Helper()
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	create()
	write(t, filepath.Join(dir, "a"), result("web", "", "10.0.0.1"))
	d.want("web 10.0.0.1")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	d.until("unavailable", unavailable)
	create()
	write(t, filepath.Join(dir, "a"), result("db", "", "10.0.0.2"))
	d.want("db 10.0.0.2")
	// An atomic exchange (RENAME_EXCHANGE) replaces the old directory with the new directory,
	// so the path of the directory exists at all times.
	other := filepath.Join(t.TempDir(), "new")
	if err := os.Mkdir(other, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(other, "a"), result("cache", "", "10.0.0.3"))
	if err := unix.Renameat2(unix.AT_FDCWD, other, unix.AT_FDCWD, dir, unix.RENAME_EXCHANGE); err != nil {
		t.Fatal(err)
	}
	d.want("cache 10.0.0.3")
	write(t, filepath.Join(dir, "b"), result("last", "", "10.0.0.4"))
	d.want("cache 10.0.0.3", "last 10.0.0.4")
}

// The watcher skips files that another user could have written, invalid files, and entries
// that are not regular files.
func TestForgedAndDamagedFilesAreSkipped(t *testing.T) {
	dir := t.TempDir()
	forged := result("forged", "", "10.0.0.66")
	path := func(name string) string { return filepath.Join(dir, name) }
	outside := filepath.Join(t.TempDir(), "outside")
	write(t, outside, forged)
	write(t, path("a-good"), result("web", "", "10.0.0.1"))
	for name, create := range map[string]func() error{
		"group-writable": func() error { return os.WriteFile(path("group-writable"), forged, 0o600) },
		"owner":          func() error { return os.WriteFile(path("owner"), forged, 0o600) },
		"symlink":        func() error { return os.Symlink(outside, path("symlink")) },
		"fifo":           func() error { return unix.Mkfifo(path("fifo"), 0o600) },
		"directory":      func() error { return os.Mkdir(path("directory"), 0o700) },
		"truncated":      func() error { return os.WriteFile(path("truncated"), forged[:100], 0o600) },
		"large": func() error {
			return os.WriteFile(path("large"), append(forged, []byte(strings.Repeat(" ", 64<<10))...), 0o600)
		},
	} {
		if err := create(); err != nil {
			t.Fatal(name, err)
		}
	}
	if err := errors.Join(os.Chmod(path("group-writable"), 0o620), os.Chown(path("owner"), 1000, -1)); err != nil {
		t.Fatalf("this test must run as root: %v", err)
	}
	d := watching(t, dir)
	s := d.until("7 skipped files", func(s report.Sandboxes) bool { return s.Skipped == 7 })
	if got := textOf(s); !slices.Equal(got, []string{"web 10.0.0.1"}) || s.SkippedReason == "" {
		t.Errorf("got %v, %q", got, s.SkippedReason)
	}
}

func TestADirectoryInWhichOthersCanWriteIsNotUsed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "results")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "a"), result("web", "", "10.0.0.1"))
	d := watching(t, dir)
	d.want("web 10.0.0.1")
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	d.until("unavailable", func(s report.Sandboxes) bool {
		return !s.Available && len(s.Sandboxes) == 0 && strings.Contains(s.Reason, "lets other users write")
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	d.want("web 10.0.0.1")
}

// If a pod ends without CNI DEL, for example because the node restarted, the file of the pod
// remains and names an interface that no longer exists.
func TestASandboxWithoutItsHostInterfaceIsOmitted(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a"), result("stale", "veth-gone", "10.0.0.1"))
	write(t, filepath.Join(dir, "b"), result("web", "lo", "10.0.0.2"))
	watching(t, dir).want("web 10.0.0.2")
}

// A plugin frees an address before libcni removes the file of the old pod, so the files of
// two pods may contain the same address.
func TestAnAddressBelongsToTheNewestSandbox(t *testing.T) {
	dir := t.TempDir()
	files := []struct{ name, pod, network, addresses string }{
		{"z", "old", "pods", "10.0.0.1 10.0.0.2"},
		{"a", "new", "pods", "10.0.0.2"},
		{"b", "other", "storage", "10.0.0.2"},
	}
	for i, f := range files {
		content := strings.Replace(string(result(f.pod, "", strings.Fields(f.addresses)...)), `"pods"`, `"`+f.network+`"`, 1)
		write(t, filepath.Join(dir, f.name), []byte(content))
		at := time.Now().Add(time.Duration(i-10) * time.Second)
		if err := os.Chtimes(filepath.Join(dir, f.name), at, at); err != nil {
			t.Fatal(err)
		}
	}
	d := watching(t, dir)
	d.want("new 10.0.0.2", "old 10.0.0.1", "other 10.0.0.2")
	if err := os.Remove(filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	d.want("old 10.0.0.1 10.0.0.2", "other 10.0.0.2")
}

func TestTheNumberOfFilesIsLimited(t *testing.T) {
	dir := t.TempDir()
	for i := range 4100 {
		write(t, filepath.Join(dir, fmt.Sprintf("%05d", i)), result(fmt.Sprintf("pod-%05d", i), "", fmt.Sprintf("10.0.%d.%d", i/256, i%256)))
	}
	s := watching(t, dir).until("a full list", func(s report.Sandboxes) bool { return s.Available })
	if len(s.Sandboxes) != 4096 || s.Skipped != 1 || !strings.Contains(s.SkippedReason, "more than 4096 files") {
		t.Errorf("%d sandboxes, %d skipped: %s", len(s.Sandboxes), s.Skipped, s.SkippedReason)
	}
}

// If more events occur than fit into the event queue of the kernel, the watcher still finds
// every file.
func TestLostEventsDoNoHarm(t *testing.T) {
	content, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	if err != nil {
		t.Fatal(err)
	}
	capacity, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := []string{filepath.Join(dir, "a"), filepath.Join(dir, "b")}
	for _, path := range files {
		write(t, path, []byte("{}"))
	}
	d := &deliveries{t, make(chan report.Sandboxes)}
	run(t, dir, d)
	// The watcher reads no events until the test receives its first delivery. The kernel
	// merges equal events, so the events alternate between two files.
	for i := range capacity + 10 {
		if err := os.Chmod(files[i%2], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "last"), result("web", "", "10.0.0.1"))
	d.want("web 10.0.0.1")
}
