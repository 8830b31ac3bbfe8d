package statedir_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sluicenet/sluice/dataplane/statedir"
)

// Only one agent can hold the lock, and a waiting agent takes it soon after the first agent
// releases it.
func TestLead(t *testing.T) {
	dir := t.TempDir()
	if _, err := statedir.NewPublisher(dir); err != nil {
		t.Fatal(err)
	}
	end, err := statedir.Lead(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := statedir.Lead(short, dir); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a second agent leads: %v", err)
	}
	next := make(chan error, 1)
	go func() {
		end, err := statedir.Lead(t.Context(), dir)
		if err == nil {
			err = end()
		}
		next <- err
	}()
	if err := end(); err != nil {
		t.Fatal(err)
	}
	if err := <-next; err != nil {
		t.Error(err)
	}
	if _, err := statedir.Remove(dir); err != nil {
		t.Errorf("removing the state directory fails after Lead: %v", err)
	}
}
