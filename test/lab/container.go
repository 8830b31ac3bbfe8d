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

// Container describes a process that sees as much of the machine as a container in
// the host network: a read-only root file system that contains one program, and
// only the privileges that are named here.
type Container struct {
	// Program is the path on this machine. In the container it is Command[0].
	Program string
	Command []string
	Env     []string
	User    uint32
	Group   uint32
	// Capabilities are numbers from linux/capability.h.
	Capabilities []uintptr
	// Mounts maps paths in the container to folders of this machine.
	Mounts map[string]Mount
}

// Mount is a folder of this machine.
type Mount struct {
	Folder   string
	ReadOnly bool
}

// Cmd returns the command of the container, to be started by StartContainer.
func (c *Container) Cmd() *exec.Cmd {
	return &exec.Cmd{
		Path: c.Command[0], Args: c.Command, Env: c.Env, Dir: "/",
		SysProcAttr: &syscall.SysProcAttr{
			Credential: &syscall.Credential{Uid: c.User, Gid: c.Group}, Pdeathsig: syscall.SIGKILL, Setpgid: true,
		},
	}
}

// StartContainer starts a container in the namespace with the command that Cmd
// returned. The caller waits until the command ends. The kernel kills it when
// this process ends.
func (n *Namespace) StartContainer(c *Container, cmd *exec.Cmd) error {
	started := make(chan error)
	go n.startContainer(c, cmd, started)
	if err := <-started; err != nil {
		return fmt.Errorf("starting %s as a container: %w", c.Command[0], err)
	}
	return nil
}

// containerRoot is a folder that every system has (FHS 3.0, 3.12). The root of a
// container is mounted there in the mount namespace of its thread alone.
const containerRoot = "/mnt"

// startContainer prepares a thread, starts the container on it, and ends the thread
// with the container, because nothing else can run on that thread any more.
func (n *Namespace) startContainer(c *Container, cmd *exec.Cmd, started chan<- error) {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		// The main thread of a process never ends. It waits here while another thread
		// is used.
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

// waitForEnd waits until a process has ended. It leaves the exit status to the
// parent.
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

// setReadOnly needs Linux 5.12.
func setReadOnly(path string, flags uint) error {
	err := unix.MountSetattr(unix.AT_FDCWD, path, flags, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
	return os.NewSyscallError("mount_setattr", err)
}

// dropPrivileges limits the capabilities of processes that the thread starts to
// keep, and prevents them from gaining others.
func dropPrivileges(keep []uintptr) error {
	for capability := uintptr(0); ; capability++ {
		if slices.Contains(keep, capability) {
			continue
		}
		err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0)
		if errors.Is(err, unix.EINVAL) {
			// The kernel has no capability with this number or a higher one.
			break
		}
		if err != nil {
			return os.NewSyscallError("prctl", err)
		}
	}
	return os.NewSyscallError("prctl", unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
}
