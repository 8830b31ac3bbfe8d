package lab_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/lab"
	"github.com/sluicenet/sluice/test/process"
)

func TestMain(m *testing.M) {
	switch process.Role() {
	case "":
		os.Exit(m.Run())
	case "holder":
		if err := hold(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case "blocker":
		_, _ = io.Copy(io.Discard, os.Stdin)
	}
}

// held describes a lab that a child process has created.
type held struct {
	Inodes   []uint64
	Process  int
	StateDir string
}

// hold creates a lab with every kind of resource and writes a description of the lab to
// standard output. Then it waits until this process is killed.
func hold() error {
	l, err := lab.New()
	if err != nil {
		return err
	}
	n, err := l.AddNode("node")
	if err != nil {
		return err
	}
	p, err := n.AddPod("pod")
	if err != nil {
		return err
	}
	if _, err := p.Serve(flow.TCP, netip.AddrPortFrom(p.Addresses()[0], 80)); err != nil {
		return err
	}
	state, err := lab.NewStateDir()
	if err != nil {
		return err
	}
	never, _, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd := process.Self("blocker")
	cmd.Stdin = never
	if err := n.Start(cmd); err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(held{Inodes: l.Inodes(), Process: cmd.Process.Pid, StateDir: state.Path()}); err != nil {
		return err
	}
	return cmd.Wait()
}

func TestNothingRemainsOfAKilledProcess(t *testing.T) {
	cmd := process.Self("holder")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	var h held
	if err := json.NewDecoder(out).Decode(&h); err != nil {
		t.Fatal(err)
	}
	if found := leftovers(t, h.Inodes); len(found) < len(h.Inodes) {
		t.Fatalf("of a running lab with %d namespaces, only %v was found", len(h.Inodes), found)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()

	wantReleased(t, h.Inodes)
	eventually.True(t, "the process in the node is gone", func() bool {
		_, err := os.Stat("/proc/" + strconv.Itoa(h.Process))
		return os.IsNotExist(err)
	})
	if _, err := os.Stat(h.StateDir); !os.IsNotExist(err) {
		t.Errorf("state directory: %v", err)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	l := newLab(t)
	n := addNode(t, l, "node")
	p := addPod(t, n, "pod")
	serve(t, p.Host, flow.TCP, 80)
	serve(t, p.Host, flow.UDP, 53)
	cmd := process.Self("blocker")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	if err := n.Start(cmd); err != nil {
		t.Fatal(err)
	}
	inodes := l.Inodes()
	l.Close()
	if err := cmd.Wait(); err == nil {
		t.Error("the process in the node ended by itself, want it killed")
	}
	wantReleased(t, inodes)
}

func TestStateDirSupportsSymlinksAndSockets(t *testing.T) {
	s, err := lab.NewStateDir()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if err := os.WriteFile(filepath.Join(s.Path(), "1.tree"), []byte("tree"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("1.tree", filepath.Join(s.Path(), "current")); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(s.Path(), "current"))
	if err != nil || string(got) != "tree" {
		t.Errorf("through the symlink: %q, %v", got, err)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: filepath.Join(s.Path(), "dataplane.sock")}); err != nil {
		t.Errorf("binding a socket: %v", err)
	}
}

func leftovers(t *testing.T, inodes []uint64) []string {
	t.Helper()
	found, err := lab.Leftovers(inodes)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// wantReleased waits until the kernel has released all given namespaces. As soon as an inode
// number is unused, wantReleased stops checking this number, because the kernel may assign the
// number to a namespace of a parallel test.
func wantReleased(t *testing.T, inodes []uint64) {
	t.Helper()
	eventually.True(t, "the namespaces are gone", func() bool {
		inodes = slices.DeleteFunc(slices.Clone(inodes), func(inode uint64) bool { return len(leftovers(t, []uint64{inode})) == 0 })
		return len(inodes) == 0
	})
}
