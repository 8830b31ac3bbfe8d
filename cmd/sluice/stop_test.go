package main

import (
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/rest"
)

// TestStopWhileTheAPIServerIsUnreachable checks that agent and operator end within 3
// seconds of a signal while they wait for an API server, and that waiting and
// ending take little processor time.
func TestStopWhileTheAPIServerIsUnreachable(t *testing.T) {
	closed := "127.0.0.1:9" // The discard port.
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
			args := append(test.args, "--kubeconfig", kubeconfigOf(t, config, ""), "--metrics-address", "0", "--health-address", "0")
			if args[0] == "agent" {
				args = append(args, "--state-dir", t.TempDir())
			}
			cmd := program(args...)
			var log strings.Builder
			cmd.Stderr = &log
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			select {
			case err := <-ended:
				t.Fatalf("it ended by itself: %v\n%s", err, &log)
			case <-time.After(3 * time.Second):
			}
			if err := cmd.Process.Signal(test.signal); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-ended:
				if err != nil {
					t.Errorf("%v\n%s", err, &log)
				}
			case <-time.After(3 * time.Second):
				t.Error("still running 3 seconds after the signal")
				_ = cmd.Process.Kill()
				<-ended
			}
			if used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(); used > time.Second {
				t.Errorf("it used the processor for %s", used)
			}
		})
	}
}

// silentServer returns the address of a server that accepts connections and
// never answers.
func silentServer(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("starting a silent server: %v", err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}
