package daemon

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"go.uber.org/zap/zapcore"
)

const (
	// repeatPeriod is the time within which the same failure is logged only once.
	repeatPeriod = time.Minute
	// maxFailures is the maximum number of different failures that limitRepeats remembers. When it
	// reaches this number, limitRepeats forgets all of them, so the same failure may be logged
	// again within repeatPeriod.
	maxFailures = 1000
)

// limitRepeats returns a core that logs the same failure at most once per repeatPeriod. While an
// API server is unavailable, for example, each request fails again every few seconds. When a
// failure is logged again, the field "repeated" contains the number of omitted entries. Entries
// without an error are not limited.
func limitRepeats(core zapcore.Core) zapcore.Core {
	return &repeatsCore{Core: core, failures: &failures{last: map[failure]*repetition{}}}
}

// repeatsCore implements zapcore.Core.
type repeatsCore struct {
	zapcore.Core
	failures *failures
}

// With returns a core that adds fields to each entry.
func (c *repeatsCore) With(fields []zapcore.Field) zapcore.Core {
	return &repeatsCore{Core: c.Core.With(fields), failures: c.failures}
}

// Check adds the core to the entry if the level of the entry is enabled.
func (c *repeatsCore) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(entry.Level) {
		return checked.AddCore(entry, c)
	}
	return checked
}

// Write writes an entry unless it repeats a failure.
func (c *repeatsCore) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	cause, found := causeIn(fields)
	if entry.Level < zapcore.ErrorLevel && !found {
		return c.Core.Write(entry, fields)
	}
	omitted, due := c.failures.due(failure{entry.LoggerName, entry.Message, cause}, entry.Time)
	if !due {
		return nil
	}
	if omitted > 0 {
		fields = append(fields, zapcore.Field{Key: "repeated", Type: zapcore.Int64Type, Integer: omitted})
	}
	return c.Core.Write(entry, fields)
}

// failure identifies a failure.
type failure struct{ logger, message, cause string }

// repetition contains the time at which a failure was last logged, and the number of entries that
// were omitted since then.
type repetition struct {
	logged  time.Time
	omitted int64
}

type failures struct {
	mu   sync.Mutex
	last map[failure]*repetition
}

// due reports whether a failure must be logged now. If it must be logged, due also returns the
// number of entries that were omitted since the failure was last logged.
func (f *failures) due(key failure, at time.Time) (omitted int64, due bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.last[key]
	switch {
	case r == nil:
		if len(f.last) >= maxFailures {
			clear(f.last)
		}
		r = &repetition{}
		f.last[key] = r
	case at.Sub(r.logged) < repeatPeriod:
		r.omitted++
		return 0, false
	}
	omitted = r.omitted
	r.logged, r.omitted = at, 0
	return omitted, true
}

// causeIn returns the text that identifies the first error among the fields.
func causeIn(fields []zapcore.Field) (cause string, found bool) {
	for i := range fields {
		if err, ok := fields[i].Interface.(error); ok && fields[i].Type == zapcore.ErrorType {
			return causeOf(err), true
		}
	}
	return "", false
}

// causeOf returns the text of an error. If a network error is the cause, it returns only the
// text of this cause. The other parts of the text, such as a URL or the port of the client,
// differ between requests that fail for the same reason.
func causeOf(err error) string {
	var network *net.OpError
	switch {
	case errors.As(err, &network):
		return network.Err.Error()
	case errors.Is(err, context.DeadlineExceeded):
		return context.DeadlineExceeded.Error()
	}
	return err.Error()
}
