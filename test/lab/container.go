package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// Container describes a process with the same restrictions as a container in the host network.
// The root file system of the process is read-only and contains a single program. The process
// has only the privileges that the fields of Container grant.
type Container struct {
	// Program is the path of the program on this machine. In the container, the same program
	// has the path Command[0].
	Program string
	Command []string
	Env     []string
	User    uint32
	Group   uint32
	// Capabilities contains the numbers of capabilities, as in linux/capability.h.
	Capabilities []uintptr
	// Mounts maps a path in the container to a directory of this machine.
	Mounts map[string]Mount
}

// Mount is a directory of this machine that is mounted in a container.
type Mount struct {
	Folder   string
	ReadOnly bool
}

// Cmd returns a command for StartContainer. Before the caller starts the command, it can set
// the standard input and output of the command.
func (c *Container) Cmd() *exec.Cmd {
	return &exec.Cmd{
		Path: c.Command[0], Args: c.Command, Env: c.Env, Dir: "/",
		SysProcAttr: &syscall.SysProcAttr{
			Credential: &syscall.Credential{Uid: c.User, Gid: c.Group}, Pdeathsig: syscall.SIGKILL, Setpgid: true,
		},
	}
}

// StartContainer starts a container in the namespace. The `cmd` parameter must be a result of
// c.Cmd. The caller must wait for the end of the command with cmd.Wait. When this process ends,
// the kernel kills the command.
func (n *Namespace) StartContainer(c *Container, cmd *exec.Cmd) error {
	started := make(chan error)
	go n.startContainer(c, cmd, started)
	if err := <-started; err != nil {
		return fmt.Errorf("starting %s as a container: %w", c.Command[0], err)
	}
	return nil
}

// containerRoot is the mount point of a container's root file system. This directory exists on
// every system (FHS 3.0, section 3.12). The mount is visible only in the mount namespace of the
// thread that starts the container.
const containerRoot = "/mnt"

// startContainer changes the namespaces and privileges of its thread and starts the container
// from this thread. Then it waits until the container ends. After that, the thread ends too,
// because no other goroutine may run with these namespaces and privileges.
func (n *Namespace) startContainer(c *Container, cmd *exec.Cmd, started chan<- error) {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		// The main thread of a process cannot end. If this goroutine runs on the main thread,
		// it starts a goroutine on another thread and waits until that goroutine has ended.
		done := make(chan struct{})
		go func() { defer close(done); n.startContainer(c, cmd, started) }()
		<-done
		runtime.UnlockOSThread()
		return
	}
	cmd.SysProcAttr.Chroot = containerRoot
	err := os.NewSyscallError("setns", unix.Setns(n.fd, unix.CLONE_NEWNET))
	if err == nil {
		err = c.makeRoot(containerRoot)
	}
	if err == nil {
		err = dropPrivileges(c.Capabilities)
	}
	if err == nil {
		err = cmd.Start()
	}
	started <- err
	if err == nil {
		_ = waitForEnd(cmd.Process.Pid)
	}
}

// waitForEnd waits until a process has ended. It does not reap the process, so that
// (*exec.Cmd).Wait can still read the exit status of the process.
func waitForEnd(pid int) error {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// makeRoot creates the root file system of the container.
func (c *Container) makeRoot(root string) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return os.NewSyscallError("unshare", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return os.NewSyscallError("mount", err)
	}
	if err := unix.Mount("tmpfs", root, "tmpfs", 0, "mode=0755"); err != nil {
		return os.NewSyscallError("mount", err)
	}
	program := filepath.Join(root, c.Command[0])
	err := os.WriteFile(program, nil, 0o755)
	if err == nil {
		err = bind(c.Program, program)
	}
	for _, folder := range []string{"/proc", "/sys", "/dev"} {
		if err == nil {
			err = bindFolder(folder, filepath.Join(root, folder))
		}
	}
	var inside []string
	for path := range c.Mounts {
		inside = append(inside, path)
	}
	slices.Sort(inside)
	for _, path := range inside {
		if err == nil {
			err = os.MkdirAll(filepath.Join(root, path), 0o755)
		}
	}
	if err == nil {
		err = setReadOnly(root, unix.AT_RECURSIVE)
	}
	for _, path := range inside {
		if err == nil {
			err = bind(c.Mounts[path].Folder, filepath.Join(root, path))
		}
		if err == nil && c.Mounts[path].ReadOnly {
			err = setReadOnly(filepath.Join(root, path), 0)
		}
	}
	return err
}

func bindFolder(from, to string) error {
	if err := os.Mkdir(to, 0o755); err != nil {
		return err
	}
	return bind(from, to)
}

func bind(from, to string) error {
	if err := unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("mounting %s: %w", from, err)
	}
	return nil
}

// setReadOnly makes a mount read-only. It needs Linux 5.12.
func setReadOnly(path string, flags uint) error {
	err := unix.MountSetattr(unix.AT_FDCWD, path, flags, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
	return os.NewSyscallError("mount_setattr", err)
}

// dropPrivileges limits the capability bounding set of the thread to the capabilities in `keep`,
// and sets no_new_privs. Because of this, processes that the thread starts cannot gain other
// capabilities.
func dropPrivileges(keep []uintptr) error {
	for capability := uintptr(0); ; capability++ {
		if slices.Contains(keep, capability) {
			continue
		}
		err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0)
		if errors.Is(err, unix.EINVAL) {
			// The kernel returns EINVAL for a number greater than the number of its last
			// capability.
			break
		}
		if err != nil {
			return os.NewSyscallError("prctl", err)
		}
	}
	return os.NewSyscallError("prctl", unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
}
