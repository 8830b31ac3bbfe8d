package statedir_test

import (
	"path/filepath"
	"testing"

	"github.com/sluicenet/sluice/dataplane/statedir"
)

func TestAgentIsAliveWhileItHoldsTheLock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	alive := func() bool {
		t.Helper()
		is, err := statedir.AgentAlive(dir)
		if err != nil {
			t.Fatal(err)
		}
		return is
	}
	lock := func() *statedir.AgentLock {
		t.Helper()
		l, err := statedir.LockAgent(dir)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	if alive() {
		t.Error("alive in a directory that does not exist")
	}
	old := lock()
	if !alive() {
		t.Error("not alive while the lock is held")
	}
	successor := lock()
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	if !alive() {
		t.Error("not alive after one of two agents has ended")
	}
	if err := successor.Close(); err != nil {
		t.Fatal(err)
	}
	if alive() {
		t.Error("alive after both agents have ended")
	}
}
