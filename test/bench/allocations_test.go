package bench_test

import (
	"path/filepath"
	"runtime"
	"strings"
)

// Whose allocations are told apart.
const (
	ours   = "ours"
	theirs = "theirs"
)

// allocatedBy counts allocations since the start: ours, which are those that
// the packages of the dataplane make or have Go's own library make, and those
// of other modules.
func allocatedBy() map[string]int64 {
	// What was allocated lately is in the profile after two collections.
	runtime.GC()
	runtime.GC()
	n, _ := runtime.MemProfile(nil, true)
	records := make([]runtime.MemProfileRecord, n+64)
	n, _ = runtime.MemProfile(records, true)
	by := map[string]int64{}
	for _, r := range records[:n] {
		by[maker(r.Stack())] += r.AllocObjects
	}
	return by
}

// maker says who made an allocation, by the files: a function literal of
// another module has one of our names once it is inlined. This package's own
// allocations are nobody's.
func maker(stack []uintptr) string {
	frames := runtime.CallersFrames(stack)
	for {
		frame, more := frames.Next()
		switch {
		// Folders of the module cache are named module@version.
		case strings.Contains(frame.File, "@v"):
			return theirs
		case strings.Contains(filepath.ToSlash(frame.File), "/dataplane/"):
			return ours
		case !more:
			return ""
		}
	}
}
