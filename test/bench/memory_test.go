package bench_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sluicenet/sluice/test/cluster"
	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/kube"
	"github.com/sluicenet/sluice/test/process"
)

// settle is the time for which an agent is left idle before its memory is measured. An agent
// needs some memory only during startup. While the agent is idle, the Go runtime returns this
// memory to the system.
const settle = 20 * time.Second

// agentReady is the maximum time until an agent has read all objects of a cluster.
const agentReady = 5 * time.Minute

// BenchmarkAgentMemory measures the resident memory of an agent's process on a real API server.
// It measures first without pods, and then with many pods of about 6 KiB each. The figure
// above-MiB is the additional memory that the agent needs for the pods. The figure peak-MiB is
// the maximum, which occurs during startup. The figure start-s is the time until the agent has
// published its first tree.
func BenchmarkAgentMemory(b *testing.B) {
	sizes := []cluster.Size{{Pods: 15_000, Policies: 1_500}, {Pods: 100_000, Policies: 1_500}}
	if once() {
		sizes = []cluster.Size{{Pods: 200, Policies: 20}}
	}
	program := buildProgram(b)
	for _, size := range sizes {
		b.Run(fmt.Sprintf("pods=%d/policies=%d", size.Pods, size.Policies), func(b *testing.B) {
			server := startServer(b)
			node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: cluster.LocalNode}}
			if err := server.Client(b).Create(b.Context(), node); err != nil {
				b.Fatal(err)
			}
			before := newAgent(b, program, server)
			none, _ := before.settled()
			if err := before.Stop(); err != nil {
				b.Fatal(err)
			}
			fill(b, server, cluster.NewRealistic(1, size), cluster.LocalNode)
			begun := now()
			agent := newAgent(b, program, server)
			start := now() - begun
			resident, peak := agent.settled()
			for unit, bytes := range map[string]float64{"none-MiB": none, "resident-MiB": resident, "peak-MiB": peak, "above-MiB": resident - none} {
				b.ReportMetric(bytes/(1<<20), unit)
			}
			b.ReportMetric(start.Seconds(), "start-s")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// buildProgram builds sluice as a static binary, because the containers of the lab contain no
// libraries. It returns the path of the binary.
func buildProgram(b *testing.B) string {
	b.Helper()
	ctrllog.SetLogger(logr.Discard())
	program := filepath.Join(b.TempDir(), "sluice")
	if err := process.Build(program, "cmd/sluice"); err != nil {
		b.Fatal(err)
	}
	return program
}

func startServer(b *testing.B) *kube.Server {
	b.Helper()
	server, err := kube.Start()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := server.Stop(); err != nil {
			b.Error(err)
		}
	})
	return server
}

// agentProcess is a running `sluice agent` for the node cluster.LocalNode.
type agentProcess struct {
	*process.Process
	b       *testing.B
	metrics string
}

// newAgent starts an agent and waits until it has published a tree.
func newAgent(b *testing.B, program string, server *kube.Server) *agentProcess {
	b.Helper()
	health := kube.FreeAddress(b)
	a := &agentProcess{b: b, metrics: kube.FreeAddress(b)}
	cmd := exec.Command(program, "agent", "--node", cluster.LocalNode, "--state-dir", b.TempDir(),
		"--kubeconfig", server.Kubeconfig(b), "--metrics-address", a.metrics, "--metrics-plain", "--health-address", health)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	a.Process = process.MustStart(b, "the agent", cmd, nil)
	ctx, cancel := context.WithTimeout(b.Context(), agentReady)
	defer cancel()
	err := eventually.Poll(ctx, func(context.Context) error {
		_, ready := kube.Fetch("http://" + health + "/readyz")
		// Also wait for the metrics, which the agent serves as soon as it has taken the
		// lock for publishing.
		_, served := kube.Fetch("http://" + a.metrics + "/metrics")
		return errors.Join(ready, served)
	})
	if err != nil {
		b.Fatalf("the agent is not ready: %v\n%s", err, a.Log())
	}
	return a
}

// The method `settled` leaves the agent idle for some time. Then it returns the current and the
// maximum size of the agent's resident memory, in bytes.
func (a *agentProcess) settled() (resident, peak float64) {
	a.b.Helper()
	return settledMemory(a.b, a.Process)
}

// settledMemory does the same as the `settled` method, but for any process.
func settledMemory(b *testing.B, p *process.Process) (resident, peak float64) {
	b.Helper()
	if !once() {
		<-time.After(settle)
	}
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(content)) {
		var kibibytes float64
		if _, err := fmt.Sscanf(line, "VmRSS: %g kB", &kibibytes); err == nil {
			resident = kibibytes * 1024
		}
		if _, err := fmt.Sscanf(line, "VmHWM: %g kB", &kibibytes); err == nil {
			peak = kibibytes * 1024
		}
	}
	return resident, peak
}
