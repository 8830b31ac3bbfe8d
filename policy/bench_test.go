package policy_test

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/tree/build"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/compile"
	"github.com/sluicenet/sluice/policy/read"
	"github.com/sluicenet/sluice/test/cluster"
)

// sizes are the cluster sizes of docs/performance.md. In each cluster, 250 pods run on the
// node under test.
var sizes = []cluster.Size{
	{Pods: 1_000, Policies: 100},
	{Pods: 10_000, Policies: 1_000},
	{Pods: 10_000, Policies: 10_000},
	{Pods: 100_000, Policies: 10_000},
}

func sizeName(s cluster.Size) string {
	return fmt.Sprintf("pods=%d/policies=%d", s.Pods, s.Policies)
}

// reduced contains the objects of a cluster, with only the fields that the agent caches.
type reduced struct {
	namespaces []policy.Namespace
	nodes      []policy.Node
	pods       []policy.Pod
	policies   []*networkingv1.NetworkPolicy
}

func reduce(b *testing.B, size cluster.Size) reduced {
	b.Helper()
	realistic := cluster.NewRealistic(1, size)
	r := reduced{policies: realistic.Policies()}
	for ns := range realistic.Namespaces() {
		r.namespaces = append(r.namespaces, policy.ReadNamespace(ns))
	}
	for node := range realistic.Nodes() {
		n, errors := policy.ReadNode(node)
		if err := errors.Err(); err != nil {
			b.Fatalf("node %s: %v", node.Name, err)
		}
		r.nodes = append(r.nodes, n)
	}
	for pod := range realistic.Pods() {
		p, errors := policy.ReadPod(pod)
		if err := errors.Err(); err != nil {
			b.Fatalf("pod %s/%s: %v", pod.Namespace, pod.Name, err)
		}
		r.pods = append(r.pods, *p)
	}
	return r
}

// node contains the snapshot, compiler and tree builder of one node, and the published tree
// file.
type node struct {
	snapshot  *policy.Snapshot
	compiler  *compile.Compiler
	builder   *build.Builder
	publisher *statedir.Publisher
}

func (r reduced) compile(b *testing.B, publisher *statedir.Publisher) *node {
	b.Helper()
	s := policy.NewSnapshot()
	for _, ns := range r.namespaces {
		s.UpsertNamespace(ns)
	}
	for _, n := range r.nodes {
		s.UpsertNode(n)
	}
	for _, p := range r.policies {
		read, _ := read.NetworkPolicy(p)
		s.UpsertPolicy(read)
	}
	for _, p := range r.pods {
		s.UpsertPod(&p)
	}
	n := &node{s, compile.New(s, cluster.LocalNode), build.New(cluster.LocalNode), publisher}
	n.publish(b)
	return n
}

func (n *node) publish(b *testing.B) {
	b.Helper()
	if err := n.builder.Apply(n.compiler.Delta()); err != nil {
		b.Fatalf("applying the delta: %v", err)
	}
	if _, err := n.publisher.Publish(n.builder); err != nil {
		b.Fatalf("publishing: %v", err)
	}
}

func newPublisher(b *testing.B) *statedir.Publisher {
	b.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "sluice-bench-*") // Like /run, this is a tmpfs.
	if err != nil {
		b.Fatalf("creating a state directory: %v", err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	publisher, err := statedir.NewPublisher(dir)
	if err != nil {
		b.Fatalf("opening the state directory: %v", err)
	}
	return publisher
}

// BenchmarkCompile measures how long a node needs to publish its first tree when all
// objects are already in memory.
func BenchmarkCompile(b *testing.B) {
	for _, size := range sizes {
		b.Run(sizeName(size), func(b *testing.B) {
			objects, publisher := reduce(b, size), newPublisher(b)
			before := liveHeap()
			resetPeak(b)
			b.ReportAllocs()
			var n *node
			for b.Loop() {
				n = objects.compile(b, publisher)
			}
			b.ReportMetric(peak(b), "peak-MiB")
			b.ReportMetric(liveHeap()-before, "live-MiB")
			runtime.KeepAlive(n)
			runtime.KeepAlive(objects)
		})
	}
}

// BenchmarkPodChange measures the time from a label change of one pod until the new tree is
// published. A label change of a local pod assigns other programs to the pod. A label change
// of a remote pod only changes whether the pod is a peer.
func BenchmarkPodChange(b *testing.B) {
	for _, size := range sizes {
		objects := reduce(b, size)
		for _, where := range []string{"local", "remote"} {
			b.Run(sizeName(size)+"/pod="+where, func(b *testing.B) {
				n := objects.compile(b, newPublisher(b))
				var changing []policy.Pod
				for _, p := range objects.pods {
					if (p.Node == cluster.LocalNode) == (where == "local") && p.Labels.Has("tier") {
						changing = append(changing, p)
					}
				}
				tiers := []string{"web", "db"}
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					p := changing[i/len(tiers)*7919%len(changing)]
					p.Labels = p.Labels.With("tier", tiers[i%len(tiers)])
					n.snapshot.UpsertPod(&p)
					n.publish(b)
					i++
				}
			})
		}
	}
}

// resetPeak resets the peak resident set size of the process through /proc/self/clear_refs.
// See proc(5).
func resetPeak(b *testing.B) {
	b.Helper()
	debug.FreeOSMemory()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		b.Fatalf("resetting the peak of resident memory: %v", err)
	}
}

// peak returns the peak resident set size in MiB since the last call of resetPeak. The
// result includes the memory of the benchmark's input objects.
func peak(b *testing.B) float64 {
	b.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatalf("reading the peak of resident memory: %v", err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		b.Fatal("reading the peak of resident memory: /proc/self/status has no VmHWM")
	}
	kib, err := strconv.ParseFloat(fields[0], 64)
	if err != nil {
		b.Fatalf("reading the peak of resident memory: %v", err)
	}
	return kib / 1024
}

// liveHeap returns the size of all reachable objects in MiB.
func liveHeap() float64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return float64(stats.HeapAlloc) / (1 << 20)
}
