package sandbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/report"
)

// Sandbox describes one network attachment of a pod sandbox.
type Sandbox = report.Sandbox

// DefaultDir is the directory in which libcni stores CNI results by default.
const DefaultDir = "/var/lib/cni/results"

const (
	// rescanInterval is the interval at which the directory is read even if no event occurs.
	// These reads detect that the directory was replaced or that an interface has disappeared.
	rescanInterval = 2 * time.Second
	// pollInterval is the interval at which the directory is read while the kernel cannot watch
	// it. For example, the kernel cannot watch a directory that does not exist.
	pollInterval = 100 * time.Millisecond
	// retryInterval is the interval at which incomplete files are read again.
	retryInterval = 10 * time.Millisecond
	// minInterval is the shortest interval between two reads of the directory.
	minInterval = 2 * time.Millisecond
)

// events is the set of inotify events that Run waits for. The set does not contain IN_CREATE
// and IN_MODIFY, because Run reads a new file when its writer closes the file.
const events = unix.IN_CLOSE_WRITE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_DELETE | unix.IN_ATTRIB |
	unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR

// eventBuffer is the size, in bytes, of the buffer for inotify events.
const eventBuffer = 16 << 10

// Watcher watches the directory of CNI results.
type Watcher struct {
	dir directory
	// links is a socket in the network namespace of the node. It is used to look up
	// interfaces.
	links int
	// notify is the inotify instance, and `inotify` is its file descriptor. The descriptor is
	// stored because os.File.Fd would disable deadlines.
	notify  *os.File
	inotify int
	// watch is the watch descriptor of the directory, or -1 if the directory is not watched.
	watch int
}

// Open opens a watcher of a directory. The directory does not need to exist. The watcher
// looks up the interfaces of pods in the network namespace of the calling thread. The
// caller must call Run, which closes the watcher.
func Open(dir string) (*Watcher, error) {
	links, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("watching CNI results: opening a socket: %w", err)
	}
	inotify, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("watching CNI results: %w", os.NewSyscallError("inotify_init1", err)), unix.Close(links))
	}
	w := &Watcher{dir: directory{path: dir}, links: links, inotify: inotify, watch: -1}
	w.notify = os.NewFile(uintptr(inotify), "inotify")
	return w, nil
}

// Run calls `handle` with the list of sandboxes, and calls it again each time the list changes.
// When the context ends, Run closes the watcher and returns. Run reports a sandbox within a few
// milliseconds after libcni has written the file. If `handle` returns an error, Run calls it again
// after the next read of the directory, which happens within a few seconds.
//
// Run omits a sandbox whose host interface does not exist. The file of such a sandbox is a
// leftover, for example from before a restart of the node.
func (w *Watcher) Run(ctx context.Context, handle func(report.Sandboxes) error) {
	defer unix.Close(w.links)
	defer w.notify.Close()
	defer context.AfterFunc(ctx, func() { _ = w.notify.SetReadDeadline(time.Unix(1, 0)) })()
	var last *report.Sandboxes
	for {
		wait := w.follow()
		now, incomplete := w.list()
		if last == nil || !reflect.DeepEqual(*last, now) {
			if last = &now; handle(now) != nil {
				last = nil
			}
		}
		if incomplete {
			wait = retryInterval
		}
		if !sleep(ctx, minInterval) || !w.next(ctx, wait) {
			return
		}
	}
}

// follow makes the kernel watch the directory that is currently at the path. This directory may
// have been created or replaced since the previous call. follow returns the time after which the
// caller must read the directory even if no event occurs.
func (w *Watcher) follow() time.Duration {
	// If the directory is already watched, the kernel returns the existing descriptor.
	watch, err := unix.InotifyAddWatch(w.inotify, w.dir.path, events)
	if err != nil {
		watch = -1
	}
	if w.watch >= 0 && watch != w.watch {
		// This call fails if the previous directory has been deleted, because the kernel has
		// then already removed the watch. The error can be ignored.
		_, _ = unix.InotifyRmWatch(w.inotify, uint32(w.watch))
	}
	if w.watch = watch; watch < 0 {
		return pollInterval
	}
	return rescanInterval
}

func sleep(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// next waits until the directory changes, or until the given time has passed. It returns false
// if the context ends. If too many events occur at once, the kernel drops events and adds an
// overflow event. The caller still finds all changes, because it reads the whole directory
// after any event.
func (w *Watcher) next(ctx context.Context, wait time.Duration) bool {
	if err := w.notify.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return sleep(ctx, wait)
	}
	if ctx.Err() != nil {
		return false
	}
	if _, err := w.notify.Read(make([]byte, eventBuffer)); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return sleep(ctx, pollInterval)
	}
	return ctx.Err() == nil
}

// list returns the sandboxes that the files describe. It also reports whether any file may be
// incomplete.
func (w *Watcher) list() (out report.Sandboxes, incomplete bool) {
	out.Sandboxes = []Sandbox{}
	names, incomplete, more, err := w.dir.read()
	if err != nil {
		out.Reason = err.Error()
		return out, false
	}
	out.Available = true
	skip := func(reason string) {
		out.Skipped++
		out.SkippedReason = reason
	}
	if more {
		skip(fmt.Sprintf("%s contains more than %d files", w.dir.path, maxFiles))
	}
	owned := map[attachment]bool{}
	for _, name := range names {
		f := w.dir.files[name]
		switch {
		case f.err != nil && f.tries >= maxTries:
			skip(f.err.Error())
		case f.sandbox != nil && w.exists(f.sandbox.HostInterface):
			s := *f.sandbox
			s.Addresses = claim(owned, f.sandbox)
			if len(s.Addresses) > 0 {
				out.Sandboxes = append(out.Sandboxes, s)
			}
		}
	}
	slices.SortFunc(out.Sandboxes, func(a, b Sandbox) int {
		return cmp.Or(
			cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name),
			cmp.Compare(a.ContainerID, b.ContainerID), cmp.Compare(a.Interface, b.Interface), cmp.Compare(a.Network, b.Network),
		)
	})
	return out, incomplete
}

// attachment is an address on a network. Two networks may use the same addresses.
type attachment struct {
	network string
	address netip.Addr
}

// claim returns the addresses of s that are not in `owned`, and adds them to `owned`. The caller
// passes newer sandboxes first, so that an address belongs to the newest sandbox that contains it.
// This order is necessary because a plugin frees an address before libcni removes the result file
// of the old pod. So a new pod may already have the address while the old file exists.
func claim(owned map[attachment]bool, s *Sandbox) []netip.Addr {
	var out []netip.Addr
	for _, a := range s.Addresses {
		if key := (attachment{s.Network, a}); !owned[key] {
			owned[key] = true
			out = append(out, a)
		}
	}
	return out
}

// exists reports whether the node has an interface with this name. It also returns true if the
// name is empty, or if the lookup fails for another reason than a missing interface.
func (w *Watcher) exists(name string) bool {
	if name == "" {
		return true
	}
	request, err := unix.NewIfreq(name)
	if err != nil {
		return true
	}
	return !errors.Is(unix.IoctlIfreq(w.links, unix.SIOCGIFINDEX, request), unix.ENODEV)
}
