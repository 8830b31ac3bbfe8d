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

// Errors of this package.
var (
	// ErrNotRoot: network namespaces cannot be made by this user.
	ErrNotRoot = errors.New("network namespaces need root (CAP_SYS_ADMIN and CAP_NET_ADMIN): run as root")
	// ErrClosed: the namespace is gone.
	ErrClosed = errors.New("network namespace is closed")
)

// Namespace is a network namespace with a thread of its own. It exists until
// Close, or until the process ends.
type Namespace struct {
	name string
	// fd refers to the namespace, so that interfaces can be moved into it.
	fd    int
	inode uint64

	calls chan func()
	quit  chan struct{}
	done  chan struct{}
	once  sync.Once
}

// newNamespace makes a namespace. The name is for messages only.
func newNamespace(name string) (*Namespace, error) {
	n := &Namespace{name: name, calls: make(chan func()), quit: make(chan struct{}), done: make(chan struct{})}
	ready := make(chan error)
	go n.live(ready)
	if err := <-ready; err != nil {
		return nil, fmt.Errorf("making network namespace %s: %w", name, err)
	}
	return n, nil
}

// live runs calls on one thread inside the namespace. The thread is never
// unlocked, so it ends with the goroutine, and with it the processes that it
// started. The process's first thread will not do: the Go runtime parks it for
// ever instead of ending it, so it is held here while another one is used.
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

// enter moves the thread into a new namespace.
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

// Name is the name that was given, for messages.
func (n *Namespace) Name() string { return n.name }

// Inode identifies the namespace, as /proc/PID/ns/net does: "net:[INODE]".
func (n *Namespace) Inode() uint64 { return n.inode }

// Do runs a function on a thread inside the namespace and waits for it. Calls
// run one after the other. Sockets that the function opens belong to the
// namespace for good and may be used from anywhere; goroutines that it starts
// are not in the namespace. The function must return: no t.Fatal, no
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

// Start starts a process inside the namespace. The kernel kills it when the
// namespace is closed or this process ends; until then the caller stops it and
// waits for it as usual.
func (n *Namespace) Start(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	// The signal comes when the starting thread ends, not the process
	// (prctl(2), PR_SET_PDEATHSIG): the namespace's thread lives as long as it.
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	return n.Do(cmd.Start)
}

// Sysctl sets a network setting of the namespace, such as
// net/ipv4/ip_forward.
func (n *Namespace) Sysctl(name, value string) error {
	return n.Do(func() error { return sysctl(name, value) })
}

// sysctl works on the namespace of the calling thread.
func sysctl(name, value string) error {
	if err := os.WriteFile(filepath.Join("/proc/sys", name), []byte(value), 0); err != nil {
		return fmt.Errorf("setting %s: %w", name, err)
	}
	return nil
}

// Close lets the namespace go: the kernel takes back its interfaces, rules and
// connections once the last socket in it is closed too. Processes started in it
// are killed.
func (n *Namespace) Close() {
	n.once.Do(func() { close(n.quit) })
	<-n.done
}
