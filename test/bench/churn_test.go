package bench_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/test/cluster"
	"github.com/sluicenet/sluice/test/kube"
)

const (
	// changesPerSecond is the number of pods per second that are changed, created or deleted.
	changesPerSecond = 200
	// ticks is the number of clock ticks per second (USER_HZ). The unit of times in
	// /proc/PID/stat is one clock tick.
	ticks = 100
	// late is the delay, in seconds, above which a published event counts as late. The
	// value must be the bound of a bucket in the agent's histogram.
	late = "0.1"
)

// BenchmarkAgentChurn measures an agent for one minute in a cluster with 10,000 pods and 1,000
// policies. Meanwhile, 200 pods change per second. The benchmark reports the processor time of
// the agent's process in cores. It also reports how many events the agent published more than
// 100 ms after it had received them.
func BenchmarkAgentChurn(b *testing.B) {
	server := startServer(b)
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: cluster.LocalNode}}
	if err := server.Client(b).Create(b.Context(), node); err != nil {
		b.Fatal(err)
	}
	config := server.Config()
	config.QPS = -1
	c := server.ClientFor(b, config)
	objects := cluster.NewRealistic(1, cluster.Size{Pods: choose(pods, 200), Policies: choose(policies, 20)})
	fill(b, server, objects, cluster.LocalNode)
	agent := newAgent(b, buildProgram(b), server)
	agent.settled()
	before, begun := agent.work(), now()
	changes := choose(60, 2) * changesPerSecond
	churn(b, c, objects, changes)
	took := now() - begun
	// Wait for one second, so that the agent can publish the last changes before its events
	// are counted.
	<-time.After(time.Second)
	after := agent.work()
	events := after.events - before.events
	if events == 0 {
		b.Fatal("the agent published nothing")
	}
	b.ReportMetric((after.cpu-before.cpu).Seconds()/took.Seconds(), "cores")
	b.ReportMetric(float64(events-(after.inTime-before.inTime)), "late")
	b.ReportMetric(float64(changes)/took.Seconds(), "changes/s")
	b.ReportMetric(float64(events)/took.Seconds(), "events/s")
	b.ReportMetric(0, "ns/op")
}

// work contains the processor time that an agent has used since it started, and the number of
// events that it has published.
type work struct {
	cpu time.Duration
	// `events` is the number of published events. `inTime` is the number of published events that
	// were not late.
	events, inTime uint64
}

func (a *agentProcess) work() (w work) {
	a.b.Helper()
	w.cpu = processorTime(a.b, a.PID())
	text, err := kube.Fetch("http://" + a.metrics + "/metrics")
	if err != nil {
		a.b.Fatal(err)
	}
	for name, to := range map[string]*uint64{"_count": &w.events, `_bucket{le="` + late + `"}`: &w.inTime} {
		_, rest, found := strings.Cut(text, "\nsluice_agent_event_to_publication_seconds"+name+" ")
		if _, err := fmt.Sscan(rest, to); !found || err != nil {
			a.b.Fatalf("the agent's metrics: %v", err)
		}
	}
	return w
}

// processorTime returns the processor time that a process has used.
func processorTime(b *testing.B, process int) (out time.Duration) {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", process))
	if err != nil {
		b.Fatal(err)
	}
	// The second field is the name of the program in parentheses. Field 14 is utime, and field 15
	// is stime.
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		out += time.Duration(n) * time.Second / ticks
	}
	return out
}

// churn changes labels of random pods of the cluster, creates copies of random pods, and
// deletes random pods.
func churn(b *testing.B, c client.Client, objects *cluster.Realistic, changes int) {
	b.Helper()
	var known []*corev1.Pod
	for pod := range objects.Pods() {
		if !pod.Spec.HostNetwork {
			known = append(known, pod)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	var group errgroup.Group
	// If the API server is slow, fewer pods change per second. The figure `changes/s` is the
	// rate that was reached.
	group.SetLimit(writers)
	tick := time.NewTicker(time.Second / changesPerSecond)
	defer tick.Stop()
	for i := range changes {
		<-tick.C
		pod := known[random.IntN(len(known))].DeepCopy()
		switch i % 10 {
		case 8:
			pod.Name, pod.UID, pod.ResourceVersion = fmt.Sprintf("churn-%d", i), "", ""
			pod.Spec.Containers[0].Image = "none"
			group.Go(func() error { return c.Create(b.Context(), pod) })
		case 9:
			// Ignore the error NotFound, because an earlier deletion may have chosen the same
			// pod.
			group.Go(func() error {
				return client.IgnoreNotFound(c.Delete(b.Context(), pod, client.GracePeriodSeconds(0)))
			})
		default:
			// Change a label with which policies select pods. The new value nearly always
			// differs from the previous value.
			patch := fmt.Appendf(nil, `{"metadata":{"labels":{"tier":"churn-%d"}}}`, i%50)
			group.Go(func() error {
				return client.IgnoreNotFound(c.Patch(b.Context(), pod, client.RawPatch(types.MergePatchType, patch)))
			})
		}
	}
	if err := group.Wait(); err != nil {
		b.Fatal(err)
	}
}
