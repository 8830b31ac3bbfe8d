package trigger_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/sluicenet/sluice/internal/trigger"
)

func isSet(t trigger.Trigger) bool {
	select {
	case <-t.C():
		return true
	default:
		return false
	}
}

func TestNewTriggerIsNotSet(t *testing.T) {
	if isSet(trigger.New()) {
		t.Error("a new trigger is set")
	}
}

func TestSetsBeforeAReceiveAreDeliveredOnce(t *testing.T) {
	tr := trigger.New()
	for range 3 {
		tr.Set()
	}
	if !isSet(tr) {
		t.Fatal("a trigger that was set three times is not set")
	}
	if isSet(tr) {
		t.Error("three calls of Set were delivered more than once")
	}
	tr.Set()
	if !isSet(tr) {
		t.Error("a Set after a receive was not delivered")
	}
}

// A receiver that reads the state after each receive must see the last change, even if Set
// and the receive happen at the same time.
func TestTheLastChangeIsSeen(t *testing.T) {
	const changes = 10_000
	tr := trigger.New()
	var mu sync.Mutex
	state := 0
	go func() {
		for range changes {
			mu.Lock()
			state++
			mu.Unlock()
			tr.Set()
		}
	}()
	for seen := 0; seen < changes; {
		select {
		case <-tr.C():
		case <-time.After(10 * time.Second):
			t.Fatalf("no signal after change %d of %d", seen, changes)
		}
		mu.Lock()
		seen = state
		mu.Unlock()
	}
}

func TestZeroTriggerNeverFires(t *testing.T) {
	var tr trigger.Trigger
	tr.Set()
	if isSet(tr) {
		t.Error("the zero trigger fired")
	}
}

func Example() {
	changed := trigger.New()
	changed.Set()
	changed.Set() // This signal is combined with the first signal.
	<-changed.C()
	fmt.Println("work to do")
	// Output: work to do
}
