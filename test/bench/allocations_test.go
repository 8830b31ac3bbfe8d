package bench_test

import (
	"path/filepath"
	"runtime"
	"strings"
)

// The modules that allocations are attributed to.
const (
	ours   = "ours"
	theirs = "theirs"
)

// allocatedBy returns the number of allocations since the start by module. Ours are
// made by the packages of the dataplane, directly or in Go's standard library.
func allocatedBy() map[string]int64 {
	// The profile contains recent allocations after two collections.
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

// maker returns the module that made an allocation. It looks at the files, because
// an inlined function literal of another module has a name of ours. It returns ""
// for allocations of this package.
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
