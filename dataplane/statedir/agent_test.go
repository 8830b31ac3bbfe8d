package statedir_test

import (
	"path/filepath"
	"testing"

	"github.com/sluicenet/sluice/dataplane/statedir"
)

func TestAgentIsAliveWhileItHoldsTheLock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	want := func(when string, want bool) {
		t.Helper()
		if got, err := statedir.AgentAlive(dir); got != want || err != nil {
			t.Errorf("%s: alive %t, %v, want %t", when, got, err, want)
		}
	}
	want("without a directory", false)
	first := lockAgent(t, dir)
	want("with an agent", true)
	second := lockAgent(t, dir)
	closeLock(t, first)
	want("after the first of two agents has ended", true)
	closeLock(t, second)
	want("after both have ended", false)
	newPublisher(t, dir)
	want("with a publisher that is no agent", false)
	closeLock(t, lockAgent(t, dir))
	if err := statedir.Remove(dir); err != nil {
		t.Error(err)
	}
}

func lockAgent(t *testing.T, dir string) *statedir.AgentLock {
	t.Helper()
	lock, err := statedir.LockAgent(dir)
	if err != nil {
		t.Fatal(err)
	}
	return lock
}

func closeLock(t *testing.T, lock *statedir.AgentLock) {
	t.Helper()
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
}
