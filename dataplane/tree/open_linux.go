package tree

import (
	"fmt"
	"io/fs"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// Open maps a tree into memory and verifies the whole tree. An error from Open names the
// file and wraps ErrCorrupt, ErrVersion, ErrByteOrder or an error of the file system.
//
// A tree file must never be changed. If another program truncates a mapped file, reading a
// removed page raises SIGBUS. Therefore, a publisher writes each tree to a new file. The file
// has a temporary name, which no reader opens, until the publisher renames it.
func Open(path string) (*Tree, error) {
	t := &Tree{}
	if err := t.open(path); err != nil {
		return nil, fmt.Errorf("opening tree %s: %w", path, err)
	}
	return t, nil
}

func (t *Tree) open(path string) error {
	// Without O_NONBLOCK, opening a FIFO would wait for a writer.
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	file := os.NewFile(uintptr(fd), path)
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	size := info.Size()
	switch {
	case !info.Mode().IsRegular():
		return fmt.Errorf("%w: %s, not a regular file", ErrCorrupt, kindOf(info.Mode()))
	case size > math.MaxInt:
		return fmt.Errorf("%w: %d bytes do not fit into memory", ErrCorrupt, size)
	}
	if err := checkSize(size); err != nil {
		return err
	}
	mapping, err := unix.Mmap(fd, 0, int(size), unix.PROT_READ, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return fmt.Errorf("mapping: %w", err)
	}
	t.content = mapping
	t.unmap = func() error {
		if err := unix.Munmap(mapping); err != nil {
			return fmt.Errorf("unmapping tree %s: %w", path, err)
		}
		return nil
	}
	if err := t.read(); err != nil {
		t.Close()
		return err
	}
	return nil
}

func kindOf(mode fs.FileMode) string {
	if mode.IsDir() {
		return "a directory"
	}
	return "a special file"
}
