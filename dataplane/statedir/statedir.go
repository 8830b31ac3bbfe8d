// Package statedir manages the state directory, through which the agent and the dataplane
// of a node exchange data. The agent publishes trees and pod ranges, and the dataplane
// watches them. In the other direction, the dataplane publishes the pod sandboxes of the
// node. The directory DIR contains these files:
//
//	DIR/tree/<generation>.tree   the trees
//	DIR/tree/current             a symlink to the current tree
//	DIR/tree/pod-ranges.json     the networks in which pods have their addresses
//	DIR/tree/agent.lock          locked by the agent that may publish trees and the status
//	DIR/dataplane.sock           the socket on which the dataplane serves its status
//	DIR/sandboxes.json           the pod sandboxes
//	DIR/mark-masks.json          the mark masks that connections may still use
//	DIR/dataplane.lock           locked by the dataplane that may write the nftables table
//	DIR/handover.sock            the socket on which a new dataplane requests this right
//
// Package socket contains the two sockets.
//
// A tree is published by one atomic rename of DIR/tree/current. A tree file never changes
// after it has received its final name.
package statedir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	treesName      = "tree"
	currentName    = "current"
	treeSuffix     = ".tree"
	sandboxesName  = "sandboxes.json"
	lockName       = "dataplane.lock"
	partialTree    = ".partial.tree"
	partialCurrent = ".partial.current"
	podRangesName  = "pod-ranges.json"
	// partialPodRanges is the temporary name of the file with the pod ranges while it is
	// written. The file is in the directory of the trees, in which the agent can create
	// files.
	partialPodRanges = ".partial.pod-ranges.json"
	// partialSandboxes is the temporary name of the file with the sandboxes while it is
	// written. The file is in the state directory, in which only the dataplane can create
	// files.
	partialSandboxes = ".partial.sandboxes.json"
)

const (
	fileMode = 0o644
	dirMode  = 0o755
	// sharedDirMode allows the group of a directory to create and remove files in the
	// directory.
	sharedDirMode = 0o775
)

// treesDir returns the path of the directory that contains the trees.
func treesDir(stateDir string) string { return filepath.Join(stateDir, treesName) }

// Current returns the path of the symlink to the current tree.
func Current(stateDir string) string { return filepath.Join(stateDir, treesName, currentName) }

// Tree returns the path of the tree with the given generation.
func Tree(stateDir string, generation uint64) string {
	return filepath.Join(stateDir, treesName, treeName(generation))
}

// Lock returns the path of the lock file. A process that holds a lock on this file may write
// the nftables table.
func Lock(stateDir string) string { return filepath.Join(stateDir, lockName) }

func treeName(generation uint64) string { return strconv.FormatUint(generation, 10) + treeSuffix }

// generationOf returns the generation in the name of a tree file. It is the inverse of
// treeName. If name is not the name of a tree file, ok is false.
func generationOf(name string) (generation uint64, ok bool) {
	number, ok := strings.CutSuffix(name, treeSuffix)
	if !ok {
		return 0, false
	}
	generation, err := strconv.ParseUint(number, 10, 64)
	return generation, err == nil && treeName(generation) == name
}

// Share prepares a state directory for a publisher that runs as another user but in the same
// group as this process. It sets the group of DIR/tree to this group, and makes DIR/tree
// writable for the group. A process that owns the directory needs no capability to call Share.
func Share(stateDir string) error {
	dir := treesDir(stateDir)
	for _, path := range []string{stateDir, dir} {
		if err := makeDir(path); err != nil {
			return fmt.Errorf("preparing state directory %s: %w", stateDir, err)
		}
	}
	// According to chown(2), the owner of a directory may change the directory's group to any
	// group of which the owner is a member.
	if err := errors.Join(os.Chown(dir, -1, os.Getegid()), os.Chmod(dir, sharedDirMode)); err != nil {
		return fmt.Errorf("preparing state directory %s: %w", stateDir, err)
	}
	return nil
}

// Remove removes the trees, the pod ranges, the sandboxes and all other files that publishers
// create in a state directory. It keeps files with other names in DIR/tree, and returns their
// paths.
func Remove(stateDir string) (foreign []string, err error) {
	for _, name := range []string{Sandboxes(stateDir), filepath.Join(stateDir, partialSandboxes)} {
		if err := removeIfExists(name); err != nil {
			return nil, fmt.Errorf("removing sandboxes: %w", err)
		}
	}
	p := &Publisher{dir: treesDir(stateDir)}
	if _, err := os.Lstat(p.dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	err = p.locked(func() error {
		foreign, err = p.removeAll()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("removing trees of %s: %w", stateDir, err)
	}
	return foreign, nil
}

// removeAll removes the files of publishers. If no other file exists, it also removes the
// directory.
func (p *Publisher) removeAll() (foreign []string, err error) {
	_, all, err := p.generations()
	if err != nil {
		return nil, err
	}
	names := []string{currentName, leadName, podRangesName}
	for _, g := range all {
		names = append(names, treeName(g))
	}
	errs := []error{p.removePartial()}
	for _, name := range names {
		errs = append(errs, removeIfExists(filepath.Join(p.dir, name)))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(p.dir)
	for _, e := range entries {
		foreign = append(foreign, filepath.Join(p.dir, e.Name()))
	}
	if err != nil || len(foreign) > 0 {
		return foreign, err
	}
	return nil, os.Remove(p.dir)
}

func removeIfExists(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// makeDir creates a directory that every user can read, whatever the umask is.
func makeDir(path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil
	}
	if err := os.MkdirAll(path, dirMode); err != nil {
		return err
	}
	return os.Chmod(path, dirMode)
}

// flock calls flock(2) on a file with the operation `how`. It waits until other processes
// release the lock, unless the operation contains unix.LOCK_NB.
func flock(file *os.File, how int) error {
	for {
		if err := unix.Flock(int(file.Fd()), how); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
