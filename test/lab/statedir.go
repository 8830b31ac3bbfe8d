package lab

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// StateDir is a directory in a tmpfs that has no mount point (fsmount(2), Linux 5.2). Other
// processes open the directory through the file descriptor of this process in /proc. When this
// process ends, the kernel removes the directory.
type StateDir struct{ file *os.File }

// NewStateDir creates an empty state directory.
func NewStateDir() (*StateDir, error) {
	context, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("making a state directory: %w", os.NewSyscallError("fsopen", err))
	}
	defer func() { _ = unix.Close(context) }()
	if err := unix.FsconfigSetString(context, "mode", "0700"); err != nil {
		return nil, fmt.Errorf("making a state directory: %w", os.NewSyscallError("fsconfig", err))
	}
	if err := unix.FsconfigCreate(context); err != nil {
		return nil, fmt.Errorf("making a state directory: %w", os.NewSyscallError("fsconfig", err))
	}
	fd, err := unix.Fsmount(context, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("making a state directory: %w", os.NewSyscallError("fsmount", err))
	}
	return &StateDir{file: os.NewFile(uintptr(fd), "state directory")}, nil
}

// Path returns the path of the directory. Other processes of the same user can open this path until
// Close is called or this process ends.
func (s *StateDir) Path() string {
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), s.file.Fd())
}

// Close removes the directory and all files in it.
func (s *StateDir) Close() error { return s.file.Close() }
