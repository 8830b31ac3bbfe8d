package sandbox

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/report"
)

const (
	// maxSize is the largest size of a file in bytes. A file contains the network configuration
	// in base64. Files are usually smaller than 4 KiB.
	maxSize = 64 << 10
	// maxFiles is the largest number of files in the directory. Some runtimes write two
	// files for each pod.
	maxFiles = 4096
	// maxTries is the maximum number of attempts to read and parse a file while the file does not
	// change. An attempt can fail because libcni writes files in place, so a file can be
	// incomplete.
	maxTries = 6
)

// writableByOthers contains the permission bits that allow users other than the owner to write.
const writableByOthers = unix.S_IWGRP | unix.S_IWOTH

// directory is the directory of CNI results. It caches the content of each file.
type directory struct {
	path  string
	files map[string]file
}

// file is the cached content of a file.
type file struct {
	stamp   stamp
	sandbox *report.Sandbox
	// err explains why the file cannot be used. If err is set and tries is less than maxTries,
	// the file may be incomplete.
	err   error
	tries int
}

// stamp is the metadata that identifies a version of a file. Each change of the content, the
// owner or the permissions sets the change time, and thus results in a different stamp.
type stamp struct {
	device, inode     uint64
	size              int64
	modified, changed unix.Timespec
}

func stampOf(s *unix.Stat_t) stamp {
	return stamp{s.Dev, s.Ino, s.Size, s.Mtim, s.Ctim}
}

// read reads the files that have changed and updates the cache. It returns the names of all
// cached files, most recently modified first. It also reports whether any file may be
// incomplete, and whether the directory contains more than maxFiles files.
func (d *directory) read() (names []string, incomplete, more bool, err error) {
	handle, err := os.OpenFile(d.path, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		clear(d.files)
		return nil, false, false, fmt.Errorf("reading CNI results: %w", err)
	}
	defer handle.Close()
	if err := checkDirectory(handle); err != nil {
		clear(d.files)
		return nil, false, false, fmt.Errorf("reading CNI results in %s: %w", d.path, err)
	}
	all, err := handle.Readdirnames(maxFiles + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		clear(d.files)
		return nil, false, false, fmt.Errorf("reading CNI results: %w", err)
	}
	if more = len(all) > maxFiles; more {
		all = all[:maxFiles]
	}
	current := make(map[string]file, len(all))
	for _, name := range all {
		f, exists := d.update(int(handle.Fd()), name)
		if !exists {
			continue
		}
		current[name] = f
		names = append(names, name)
		incomplete = incomplete || f.err != nil && f.tries < maxTries
	}
	d.files = current
	slices.SortFunc(names, func(a, b string) int { return -older(current[a].stamp.modified, current[b].stamp.modified) })
	return names, incomplete, more, nil
}

// older returns -1 if a is earlier than b, 1 if a is later, and 0 otherwise.
func older(a, b unix.Timespec) int {
	x, y := a.Nano(), b.Nano()
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	default:
		return 0
	}
}

func checkDirectory(handle *os.File) error {
	var s unix.Stat_t
	if err := unix.Fstat(int(handle.Fd()), &s); err != nil {
		return err
	}
	if s.Nlink == 0 {
		return errors.New("the directory has been deleted; restart the pod to use the new one")
	}
	return checkOwner(&s)
}

// checkOwner returns an error unless root and the user of this process are the only users who can
// write to the file or directory.
func checkOwner(s *unix.Stat_t) error {
	if s.Uid != 0 && int(s.Uid) != os.Geteuid() {
		return fmt.Errorf("owned by user %d, want user 0", s.Uid)
	}
	if s.Mode&writableByOthers != 0 {
		return fmt.Errorf("mode %#o lets other users write", s.Mode&0o7777)
	}
	return nil
}

// update returns the cached content of a file. It reads the file only if the file has changed
// since the last read, or if the last read may have returned incomplete content. If the file has
// been removed, exists is false.
func (d *directory) update(dir int, name string) (f file, exists bool) {
	var s unix.Stat_t
	if err := unix.Fstatat(dir, name, &s, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return file{}, !errors.Is(err, fs.ErrNotExist)
	}
	old, known := d.files[name]
	same := known && old.stamp == stampOf(&s)
	if same && (old.err == nil || old.tries >= maxTries) {
		return old, true
	}
	f = file{stamp: stampOf(&s), tries: 1}
	if same {
		f.tries = old.tries + 1
	}
	content, opened, err := readFile(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return file{}, false
	}
	if err == nil {
		f.stamp = opened
		var parsed report.Sandbox
		if parsed, err = parse(content); err == nil {
			f.sandbox = &parsed
			return f, true
		}
	}
	if errors.Is(err, errNotPod) {
		return f, true
	}
	f.err = fmt.Errorf("%.80q: %w", name, err)
	return f, true
}

// readFile reads a regular file. It returns an error if other users can write to the file.
func readFile(dir int, name string) ([]byte, stamp, error) {
	// Without O_NONBLOCK, opening a FIFO would block.
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, stamp{}, err
	}
	handle := os.NewFile(uintptr(fd), name)
	defer handle.Close()
	var s unix.Stat_t
	if err := unix.Fstat(fd, &s); err != nil {
		return nil, stamp{}, err
	}
	if s.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, stamp{}, errors.New("not a regular file")
	}
	if err := checkOwner(&s); err != nil {
		return nil, stamp{}, err
	}
	content, err := io.ReadAll(io.LimitReader(handle, maxSize+1))
	if err != nil {
		return nil, stamp{}, err
	}
	if len(content) > maxSize {
		return nil, stamp{}, fmt.Errorf("larger than %d bytes", maxSize)
	}
	return content, stampOf(&s), nil
}
