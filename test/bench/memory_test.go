package bench_test

import (
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
	"github.com/sluicenet/sluice/test/kube"
)

// settle is how long an agent rests before its memory is read: by then the
// runtime has given back what the start took.
const settle = 20 * time.Second

// agentReady is how long an agent may take to read a cluster.
const agentReady = 5 * time.Minute

// BenchmarkAgentMemory measures what an agent's process has in memory, as the
// kernel counts it: on a real API server with no pods, and with many, each of
// about 6 KiB. above is what the cluster adds; peak is the most that it ever
// had, which the start needs; start is the time until it has published.
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
			before.stop()
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

// buildProgram builds sluice, static: in a node's container is nothing else.
func buildProgram(b *testing.B) string {
	b.Helper()
	ctrllog.SetLogger(logr.Discard())
	program := filepath.Join(b.TempDir(), "sluice")
	if out, err := exec.Command("env", "CGO_ENABLED=0", "go", "build", "-trimpath", "-o", program, "../../cmd/sluice").CombinedOutput(); err != nil {
		b.Fatalf("building sluice: %v\n%s", err, out)
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

// agentProcess is a `sluice agent` for cluster.LocalNode.
type agentProcess struct {
	b       *testing.B
	cmd     *exec.Cmd
	metrics string
}

// newAgent starts one and waits until it has published.
func newAgent(b *testing.B, program string, server *kube.Server) *agentProcess {
	b.Helper()
	health := kube.FreeAddress(b)
	a := &agentProcess{b: b, metrics: kube.FreeAddress(b)}
	a.cmd = exec.Command(program, "agent", "--node-name", cluster.LocalNode, "--state-dir", b.TempDir(),
		"--kubeconfig", server.Kubeconfig(b), "--metrics-address", a.metrics, "--health-address", health)
	var log strings.Builder
	a.cmd.Stderr = &log
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := a.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(a.stop)
	for deadline := now() + agentReady; ; <-time.After(50 * time.Millisecond) {
		_, err := kube.Fetch("http://" + health + "/readyz")
		if err == nil {
			return a
		}
		if now() > deadline {
			a.stop()
			b.Fatalf("the agent is not ready: %v\n%s", err, log.String())
		}
	}
}

// stop ends it, once.
func (a *agentProcess) stop() {
	if a.cmd.ProcessState != nil {
		return
	}
	_ = a.cmd.Process.Signal(syscall.SIGTERM)
	if err := a.cmd.Wait(); err != nil {
		a.b.Errorf("agent: %v", err)
	}
}

// settled gives the bytes in memory after a rest, and the most so far.
func (a *agentProcess) settled() (resident, peak float64) {
	a.b.Helper()
	if !once() {
		<-time.After(settle)
	}
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.cmd.Process.Pid))
	if err != nil {
		a.b.Fatal(err)
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
