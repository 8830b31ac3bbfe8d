package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"github.com/vishvananda/netlink"

	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/lab"
)

// stopTime is the maximum time until the demo has stopped after a signal.
const stopTime = 5 * time.Second

// A test waits for one of these texts in the output of the demo, and then stops the demo.
const (
	started = "started the dataplane"
	holding = "that stay open"
	keeping = "kill the dataplane"
)

// brief contains the arguments for a short run of the demo.
var brief = []string{"-f", "example/1-cluster.yaml", "-f", "example/2-test-network-policy.yaml", "--port", "6379", "--port", "6379/UDP", "--timeout", "300ms"}

// The test stops the demo at various points, and checks that no process, network namespace or
// file remains. At each of these points, the dataplane is running and all network namespaces
// exist.
func TestNothingIsLeft(t *testing.T) {
	for name, test := range map[string]struct {
		signal syscall.Signal // If signal is 0, the demo runs until it ends.
		at     string
		args   []string
		want   int // want is the exit code, or -1 if a signal kills the demo.
	}{
		"end":                       {at: started},
		"SIGINT":                    {signal: syscall.SIGINT, at: started, want: 1},
		"SIGTERM":                   {signal: syscall.SIGTERM, at: started, want: 1},
		"SIGKILL":                   {signal: syscall.SIGKILL, at: started, want: -1},
		"SIGINT, connections open":  {signal: syscall.SIGINT, at: holding, want: 1},
		"SIGKILL, connections open": {signal: syscall.SIGKILL, at: holding, want: -1},
		"SIGINT, kept":              {signal: syscall.SIGINT, at: keeping, args: []string{"--keep"}},
		"SIGTERM, kept":             {signal: syscall.SIGTERM, at: keeping, args: []string{"--keep"}},
		"SIGKILL, kept":             {signal: syscall.SIGKILL, at: keeping, args: []string{"--keep"}, want: -1},
		"SIGINT, meant to be kept":  {signal: syscall.SIGINT, at: started, args: []string{"--keep"}, want: 1},
	} {
		t.Run(name, func(t *testing.T) {
			temp := t.TempDir()
			before := machine(t)
			cmd := exec.CommandContext(t.Context(), binary, slices.Concat(brief, test.args)...)
			cmd.Env = append(os.Environ(), "TMPDIR="+temp)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(out)
			for lines.Scan() && !strings.Contains(lines.Text(), test.at) {
				continue
			}
			children, inodes := holdings(t, cmd.Process.Pid)
			if len(children) != 1 || len(inodes) != 6 {
				t.Fatalf("the running demo has children %v and namespaces %v", children, inodes)
			}
			if test.signal != 0 {
				if err := cmd.Process.Signal(test.signal); err != nil {
					t.Fatal(err)
				}
			}
			stopped := time.Now()
			_, _ = io.Copy(io.Discard, out)
			_ = cmd.Wait()
			if took := time.Since(stopped); test.signal != 0 && took > stopTime {
				t.Errorf("stopping took %s", took)
			}
			if got := cmd.ProcessState.ExitCode(); got != test.want {
				t.Errorf("exit code %d, want %d", got, test.want)
			}

			eventually.True(t, "the namespaces are gone", func() bool {
				found, err := lab.Leftovers(inodes)
				return err == nil && len(found) == 0
			})
			eventually.True(t, "the dataplane is gone", func() bool {
				_, err := os.Stat("/proc/" + children[0])
				return os.IsNotExist(err)
			})
			if files, err := os.ReadDir(temp); err != nil || len(files) > 0 {
				t.Errorf("temporary files: %v, %v", files, err)
			}
			if diff := cmp.Diff(before, machine(t)); diff != "" {
				t.Errorf("the machine's own network (-before +after):\n%s", diff)
			}
		})
	}
}

// holdings returns the child processes of a process, and the network namespaces of its
// threads. It omits the network namespace of the test.
func holdings(t *testing.T, pid int) (children []string, inodes []uint64) {
	t.Helper()
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		text, err := os.ReadFile(filepath.Join(task, "children"))
		if err == nil {
			children = append(children, strings.Fields(string(text))...)
		}
		link, err := os.Readlink(filepath.Join(task, "ns", "net"))
		if err != nil || link == own {
			continue
		}
		var inode uint64
		if _, err := fmt.Sscanf(link, "net:[%d]", &inode); err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(inodes, inode) {
			inodes = append(inodes, inode)
		}
	}
	return children, inodes
}

// machine lists the interfaces and the nftables tables in the network namespace of the test. The
// demo must not change this network namespace, so a test compares the lists from before and after a
// run.
func machine(t *testing.T) []string {
	t.Helper()
	var out []string
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		out = append(out, "link "+l.Attrs().Name)
	}
	conn, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	tables, err := conn.ListTables()
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		out = append(out, fmt.Sprintf("table %d %s", table.Family, table.Name))
	}
	return out
}

// If the dataplane does not work, the demo must report a difference. The test kills the
// dataplane. The kernel then drops new connections even if the policies allow them.
func TestADeadDataplaneIsAMismatch(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), binary)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && !strings.Contains(lines.Text(), started) {
		continue
	}
	children, _ := holdings(t, cmd.Process.Pid)
	if len(children) != 1 {
		t.Fatalf("the running demo has children %v", children)
	}
	pid, err := strconv.Atoi(children[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	differ := 0
	for lines.Scan() {
		if strings.HasSuffix(lines.Text(), "differ!") {
			differ++
		}
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("the demo: %v, want exit code 1", err)
	}
	if differ == 0 {
		t.Error("no table row differs")
	}
}
