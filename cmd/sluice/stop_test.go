package main

import (
	"net"
	"slices"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/sluicenet/sluice/test/process"
)

// TestStopWhileTheAPIServerIsUnreachable checks that the agent and the operator exit within 3
// seconds of a signal while they wait for an unreachable API server. It also checks that each
// of these processes uses less than one second of CPU time.
func TestStopWhileTheAPIServerIsUnreachable(t *testing.T) {
	closed := "127.0.0.1:9" // No server listens on the discard port of this host.
	for name, test := range map[string]struct {
		address string
		args    []string
		signal  syscall.Signal
	}{
		"agent, connection refused":         {closed, []string{"agent", "--node", "n"}, syscall.SIGTERM},
		"agent, the server does not answer": {silentServer(t), []string{"agent", "--node", "n"}, syscall.SIGINT},
		"operator, it does not answer":      {silentServer(t), []string{"operator", "--image", "sluice:test"}, syscall.SIGTERM},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := &rest.Config{Host: "https://" + test.address, TLSClientConfig: rest.TLSClientConfig{Insecure: true}, BearerToken: "t"}
			args := slices.Concat(test.args, []string{"--kubeconfig", kubeconfigOf(t, config, ""), "--metrics-address", "0", "--health-address", "0"})
			if args[0] == "agent" {
				args = append(args, "--state-dir", t.TempDir())
			}
			p := process.MustStart(t, args[0], program(args...), nil)
			select {
			case <-p.Ended():
				t.Fatalf("it ended before the signal:\n%s", p.Log())
			case <-time.After(3 * time.Second):
			}
			if err := p.Signal(test.signal); err != nil {
				t.Fatal(err)
			}
			select {
			case <-p.Ended():
				if err := p.Wait(); err != nil {
					t.Error(err)
				}
			case <-time.After(3 * time.Second):
				t.Error("still running 3 seconds after the signal")
				p.Kill()
			}
			if used := p.State().UserTime() + p.State().SystemTime(); used > time.Second {
				t.Errorf("it used %s of processor time", used)
			}
		})
	}
}

// silentServer returns the address of a server that accepts connections but never
// sends any data.
func silentServer(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("starting a silent server: %v", err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}
