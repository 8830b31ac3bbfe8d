package eventually_test

import (
	"context"
	"errors"
	"testing"

	"github.com/sluicenet/sluice/test/eventually"
)

func TestNoErrorRepeatsTheAttempt(t *testing.T) {
	attempts := 0
	eventually.NoError(t, func() error {
		if attempts++; attempts < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	if attempts != 3 {
		t.Errorf("%d attempts, want 3", attempts)
	}
}

func TestTrueRepeatsTheCondition(t *testing.T) {
	evaluations := 0
	eventually.True(t, "the condition was evaluated three times", func() bool {
		evaluations++
		return evaluations == 3
	})
}

func TestPollReturnsTheCauseAndTheLastError(t *testing.T) {
	stopped, notYet := errors.New("stopped"), errors.New("not yet")
	ctx, cancel := context.WithCancelCause(t.Context())
	attempts := 0
	err := eventually.Poll(ctx, func(ctx context.Context) error {
		if attempts++; attempts == 3 {
			cancel(stopped)
			return ctx.Err()
		}
		return notYet
	})
	if !errors.Is(err, stopped) || !errors.Is(err, notYet) {
		t.Errorf("error %v, want the cause %v and the last error before it, %v", err, stopped, notYet)
	}
}
