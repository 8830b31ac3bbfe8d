package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// The errors of this package.
var (
	// ErrNotRoot means that this process lacks the capabilities that are necessary to create
	// network namespaces.
	ErrNotRoot = errors.New("network namespaces need root (CAP_SYS_ADMIN and CAP_NET_ADMIN): run as root")
	// ErrClosed means that the namespace has been closed.
	ErrClosed = errors.New("network namespace is closed")
)

// Namespace is a network namespace and a thread that runs in this namespace. The namespace
// exists until Close is called or the process ends.
type Namespace struct {
	name string
	// fd is a file descriptor of the namespace. It is used to move interfaces into the
	// namespace.
	fd    int
	inode uint64

	calls chan func()
	quit  chan struct{}
	done  chan struct{}
	once  sync.Once
}

// newNamespace creates a namespace. The name appears only in messages.
func newNamespace(name string) (*Namespace, error) {
	n := &Namespace{name: name, calls: make(chan func()), quit: make(chan struct{}), done: make(chan struct{})}
	ready := make(chan error)
	go n.live(ready)
	if err := <-ready; err != nil {
		return nil, fmt.Errorf("making network namespace %s: %w", name, err)
	}
	return n, nil
}

// live runs calls on one thread in the namespace. The thread is locked to the goroutine, so that
// both end at the same time. When the thread ends, the kernel kills the processes that the thread
// has started. The main thread of the process is unsuitable, because the Go runtime never ends the
// main thread. If `live` starts on the main thread, it therefore calls itself on another thread and
// waits until that thread has ended.
func (n *Namespace) live(ready chan<- error) {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		defer runtime.UnlockOSThread()
		go n.live(ready)
		<-n.done
		return
	}
	defer close(n.done)
	if err := n.enter(); err != nil {
		ready <- err
		return
	}
	ready <- nil
	defer func() { _ = unix.Close(n.fd) }()
	for {
		select {
		case call := <-n.calls:
			call()
		case <-n.quit:
			return
		}
	}
}

// enter creates a network namespace and moves the calling thread into it.
func (n *Namespace) enter() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		if errors.Is(err, unix.EPERM) {
			return ErrNotRoot
		}
		return fmt.Errorf("unshare: %w", err)
	}
	fd, err := openOwnNamespace()
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		_ = unix.Close(fd)
		return fmt.Errorf("fstat: %w", err)
	}
	n.fd, n.inode = fd, st.Ino
	return nil
}

func openOwnNamespace() (int, error) {
	const path = "/proc/thread-self/ns/net"
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("opening %s: %w", path, err)
	}
	return fd, nil
}

// Name returns the name that messages use for the namespace.
func (n *Namespace) Name() string { return n.name }

// Inode returns the inode number of the namespace. If a process is in the namespace, the target
// of the symlink /proc/PID/ns/net of this process contains the number, as in "net:[INODE]".
func (n *Namespace) Inode() uint64 { return n.inode }

// Do calls the given function on the thread of the namespace, and returns the error of this
// function. It runs only one function at a time. A socket that the function opens stays in the
// namespace, and any goroutine may use this socket. A goroutine that the function starts does
// not run in the namespace. The function must return, so it must not call t.Fatal or
// runtime.Goexit.
func (n *Namespace) Do(call func() error) error {
	var err error
	ran := make(chan struct{})
	select {
	case n.calls <- func() { err = call(); close(ran) }:
		<-ran
		return err
	case <-n.done:
		return fmt.Errorf("%s: %w", n.name, ErrClosed)
	}
}

// Start starts a process in the namespace. The caller must stop the process and wait for it as
// usual. When the namespace is closed or this process ends, the kernel kills the started
// process.
func (n *Namespace) Start(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	// The kernel sends the signal when the thread that started the process ends, not when the
	// whole parent process ends (prctl(2), PR_SET_PDEATHSIG). Therefore use the thread of the
	// namespace, which runs until the namespace is closed.
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	return n.Do(cmd.Start)
}

// Sysctl changes a network setting in the namespace. The name is a path such as
// net/ipv4/ip_forward.
func (n *Namespace) Sysctl(name, value string) error {
	return n.Do(func() error { return sysctl(name, value) })
}

// sysctl changes a setting in the namespace of the calling thread.
func sysctl(name, value string) error {
	if err := os.WriteFile(filepath.Join("/proc/sys", name), []byte(value), 0); err != nil {
		return fmt.Errorf("setting %s: %w", name, err)
	}
	return nil
}

// Close closes the namespace and kills the processes that were started in the namespace. When
// the last socket in the namespace is closed, the kernel removes the interfaces, rules and
// connections of the namespace.
func (n *Namespace) Close() {
	n.once.Do(func() { close(n.quit) })
	<-n.done
}
