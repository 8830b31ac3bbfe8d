package tree

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// sharedDirMode lets the group of a directory write in it.
const sharedDirMode = 0o775

// Share makes a state directory ready for a publisher that is another user of
// this process's group: DIR/tree belongs to that group, which may write there.
// It needs no privilege where the directory is this user's.
func Share(stateDir string) error {
	dir := filepath.Join(stateDir, treeDir)
	for _, path := range []string{stateDir, dir} {
		if err := makeDir(path); err != nil {
			return fmt.Errorf("preparing state directory %s: %w", stateDir, err)
		}
	}
	// An owner may give what is his to a group that he belongs to (chown(2)).
	if err := errors.Join(os.Chown(dir, -1, os.Getegid()), os.Chmod(dir, sharedDirMode)); err != nil {
		return fmt.Errorf("preparing state directory %s: %w", stateDir, err)
	}
	return nil
}

// Remove removes all trees of a state directory, and what else publishers made
// there. Files that nobody of them made stay, and are an error.
func Remove(stateDir string) error {
	p := &Publisher{dir: filepath.Join(stateDir, treeDir)}
	if _, err := os.Lstat(p.dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	err := p.locked(func() error {
		_, all, err := p.generations()
		if err != nil {
			return err
		}
		errs := []error{p.removePartial(), ignoreAbsent(os.Remove(filepath.Join(p.dir, currentName)))}
		for _, g := range all {
			errs = append(errs, ignoreAbsent(os.Remove(filepath.Join(p.dir, treeName(g)))))
		}
		return errors.Join(append(errs, os.Remove(p.dir))...)
	})
	if err != nil {
		return fmt.Errorf("removing trees of %s: %w", stateDir, err)
	}
	return nil
}

func ignoreAbsent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
