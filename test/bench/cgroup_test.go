package bench_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sluicenet/sluice/test/eventually"
)

// podGroups contains the control groups of pods. A process in such a group gets as much processor time
// as a container of a pod on a node. As the kubelet does, newPodGroups creates a group for all pods, in
// it one group for the pods with CPU requests and one for the pods without, and in these a group for
// each pod:
//
//	sluice-bench/burstable/POD
//	sluice-bench/besteffort/POD
//
// While all processors are busy, the pods with requests get processor time in proportion to their
// requests. All pods without requests together have the weight of one pod with a request of 2m.
type podGroups struct {
	b    *testing.B
	root string
	// unified is set for cgroup v2.
	unified bool
}

// newPodGroups creates the groups. The parameters are the CPU that the node has, and the sum of the
// requests of all pods, in thousandths of a processor. Start the processes after this call, so that
// the cleanup ends them before it removes the groups.
func newPodGroups(b *testing.B, capacity, requests int) *podGroups {
	b.Helper()
	g := &podGroups{b: b, root: "/sys/fs/cgroup/cpu/sluice-bench"}
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		g.root, g.unified = "/sys/fs/cgroup/sluice-bench", true
	}
	g.remove() // An earlier run may have crashed.
	b.Cleanup(g.remove)
	g.create("", capacity)
	g.create("burstable", requests)
	g.create("besteffort", 0)
	return g
}

// add moves a process to the group of a new pod with the given request.
func (g *podGroups) add(c *child, pod string, request int) {
	g.b.Helper()
	class := "burstable"
	if request == 0 {
		class = "besteffort"
	}
	path := filepath.Join(class, pod)
	g.create(path, request)
	g.write(path, "cgroup.procs", strconv.Itoa(c.cmd.Process.Pid))
}

// create creates a group whose weight corresponds to a CPU request.
func (g *podGroups) create(path string, milli int) {
	g.b.Helper()
	if err := os.MkdirAll(filepath.Join(g.root, path), 0o755); err != nil {
		g.b.Fatal(err)
	}
	// The kubelet sets these values, see MilliCPUToShares in pkg/kubelet/cm and KEP-2254.
	shares := max(2, milli*1024/1000)
	if !g.unified {
		g.write(path, "cpu.shares", strconv.Itoa(shares))
		return
	}
	g.write(filepath.Join(path, ".."), "cgroup.subtree_control", "+cpu")
	g.write(path, "cpu.weight", strconv.Itoa(1+(shares-2)*9999/262142))
}

func (g *podGroups) write(path, file, value string) {
	g.b.Helper()
	if err := os.WriteFile(filepath.Join(g.root, path, file), []byte(value), 0o644); err != nil {
		g.b.Fatal(err)
	}
}

// remove removes all groups.
func (g *podGroups) remove() {
	g.b.Helper()
	var groups []string
	err := filepath.WalkDir(g.root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			groups = append(groups, path)
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		g.b.Error(err)
	}
	slices.SortFunc(groups, func(a, b string) int { return strings.Count(b, "/") - strings.Count(a, "/") })
	for _, path := range groups {
		// A process leaves its group shortly after its parent has received its exit status.
		eventually.NoError(g.b, func() error { return os.Remove(path) })
	}
}
