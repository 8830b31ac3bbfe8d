package process_test

import (
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/process"
)

func TestMain(m *testing.M) {
	switch process.Role() {
	case "":
		os.Exit(m.Run())
	case "echo":
		os.Stdout.WriteString(strings.Join(os.Args[1:], " "))
	case "wait":
		waitForStop(os.Args[1])
	}
}

// waitForStop waits for SIGTERM and exits with the given code.
func waitForStop(code string) {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	os.Stdout.WriteString("ready")
	<-stop
	os.Stdout.WriteString("stopping")
	exitCode, err := strconv.Atoi(code)
	if err != nil {
		panic(err)
	}
	os.Exit(exitCode)
}

func TestSelfRunsTheRole(t *testing.T) {
	p := process.MustStart(t, "echo", process.Self("echo", "a", "b"), nil)
	if err := p.Wait(); err != nil || p.Log() != "a b" {
		t.Errorf("log %q, error %v, want the arguments and no error", p.Log(), err)
	}
	if err := p.Stop(); err == nil {
		t.Error("stopping a process that has ended: no error")
	}
}

func TestStopEndsTheProcess(t *testing.T) {
	for code, wantError := range map[string]bool{"0": false, "3": true} {
		p := process.MustStart(t, "wait", process.Self("wait", code), nil)
		eventually.True(t, "the process is ready", func() bool { return p.Log() == "ready" })
		err := p.Stop()
		if (err != nil) != wantError {
			t.Errorf("exit code %s: error %v, want one: %t", code, err, wantError)
		}
		if err != nil && !strings.Contains(err.Error(), "stopping") {
			t.Errorf("the error does not contain the log: %v", err)
		}
	}
}

func TestPauseStopsEveryThreadUntilResume(t *testing.T) {
	p := process.MustStart(t, "tail", exec.Command("tail", "-f", "/dev/null"), nil)
	p.Pause(t)
	p.Resume(t)
	p.Kill()
	if status := p.State().Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGKILL {
		t.Errorf("ended by %s, want %s", status.Signal(), syscall.SIGKILL)
	}
}
