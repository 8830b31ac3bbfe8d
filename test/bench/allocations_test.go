package bench_test

import (
	"path/filepath"
	"runtime"
	"strings"
)

// Allocations are counted separately for the packages of the dataplane (ours) and
// for modules of other projects (theirs).
const (
	ours   = "ours"
	theirs = "theirs"
)

// allocatedBy returns the number of allocations since the start of the process, by
// module. An allocation in Go's standard library counts for the module that called
// the library.
func allocatedBy() map[string]int64 {
	// The memory profile contains an allocation only after two garbage collections.
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

// maker returns the module that made an allocation: ours, theirs, or "" for this
// package. It looks at file names, because the compiler names a function literal
// that was inlined from another module after a function of this project.
func maker(stack []uintptr) string {
	frames := runtime.CallersFrames(stack)
	for {
		frame, more := frames.Next()
		switch {
		// In the module cache, a directory name contains the version: module@v1.2.3.
		case strings.Contains(frame.File, "@v"):
			return theirs
		case strings.Contains(filepath.ToSlash(frame.File), "/dataplane/"):
			return ours
		case !more:
			return ""
		}
	}
}
