package statedir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fsnotify/fsnotify"

	"github.com/sluicenet/sluice/dataplane/tree"
)

// OpenCurrent opens the current tree of a state directory. It returns fs.ErrNotExist if no
// tree has been published yet.
func OpenCurrent(stateDir string) (*tree.Tree, error) {
	link := Current(stateDir)
	for {
		target, err := os.Readlink(link)
		if err != nil {
			return nil, fmt.Errorf("finding current tree: %w", err)
		}
		t, err := tree.Open(resolve(link, target))
		if !errors.Is(err, fs.ErrNotExist) {
			return t, err
		}
		// A publisher may have replaced and removed the tree in the meantime.
		if again, _ := os.Readlink(link); again == target {
			return nil, err
		}
	}
}

// resolve returns the path that a symlink refers to. target is the content of the symlink.
func resolve(link, target string) string {
	if filepath.IsAbs(target) {
		return target
	}
	return filepath.Join(filepath.Dir(link), target)
}

// Watch calls handle with the current tree of a state directory, and again for
// each tree that is published later, one call at a time. If several trees are
// published during a call, only the newest is delivered. handle owns the tree and
// must close it when the tree is no longer in use. A dataplane does so after it
// has switched to the next tree and the last batch on the old one has ended.
//
// If the current tree cannot be opened, handle is called once with a nil tree and
// the error. The tree that was delivered before stays valid. If there is no tree
// or no state directory yet, Watch waits for it.
//
// Watch returns nil when the context ends, and an error if the directory cannot be
// watched.
func Watch(ctx context.Context, stateDir string, handle func(*tree.Tree, error)) error {
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watching %s: %w", stateDir, err)
	}
	defer notify.Close()
	w := watch{notify: notify, stateDir: filepath.Clean(stateDir), handle: handle}
	for {
		if err := w.follow(); err != nil {
			return fmt.Errorf("watching %s: %w", stateDir, err)
		}
		if ctx.Err() != nil {
			return nil
		}
		w.deliver()
		select {
		case <-ctx.Done():
			return nil
		case event := <-notify.Events:
			if event.Name == w.watched && (event.Has(fsnotify.Remove) || event.Has(fsnotify.Rename)) {
				w.forget()
			}
		case err := <-notify.Errors:
			// After an overflow, events are lost: check everything again.
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				return fmt.Errorf("watching %s: %w", stateDir, err)
			}
		}
	}
}

type watch struct {
	notify   *fsnotify.Watcher
	stateDir string
	handle   func(*tree.Tree, error)
	// watched is the directory that is currently watched: DIR/tree or its nearest existing
	// parent directory.
	watched     string
	watchedInfo fs.FileInfo
	// target and targetInfo describe the symlink at the latest delivery or rejection.
	target     string
	targetInfo fs.FileInfo
}

// follow watches DIR/tree, or the nearest existing directory above it.
func (w *watch) follow() error {
	for {
		dir := treesDir(w.stateDir)
		info, err := os.Stat(dir)
		for errors.Is(err, fs.ErrNotExist) && dir != filepath.Dir(dir) {
			dir = filepath.Dir(dir)
			info, err = os.Stat(dir)
		}
		if err != nil {
			return err
		}
		if dir == w.watched && os.SameFile(info, w.watchedInfo) {
			return nil
		}
		w.forget()
		if err := w.notify.Add(dir); errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return err
		}
		// Check again, because the next directory may have been created before this watch
		// started.
		w.watched, w.watchedInfo = dir, info
	}
}

// forget ends the watch on a directory.
func (w *watch) forget() {
	if w.watched != "" {
		// This fails if the directory is gone. Then the watch has ended anyway.
		_ = w.notify.Remove(w.watched)
		w.watched = ""
	}
}

// deliver opens the current tree and calls handle if the symlink has changed.
func (w *watch) deliver() {
	link := Current(w.stateDir)
	var info fs.FileInfo
	var target string
	// Read the symlink and its file information until both belong to the same symlink.
	// Otherwise, if the symlink is replaced between the two reads, its tree would be
	// delivered now and again when the event of the replacement arrives.
	for consistent := false; !consistent; {
		before, err := os.Lstat(link)
		if err != nil {
			return
		}
		if target, err = os.Readlink(link); err != nil && before.Mode()&fs.ModeSymlink != 0 {
			return
		}
		if info, err = os.Lstat(link); err != nil {
			return
		}
		consistent = os.SameFile(before, info) && before.ModTime().Equal(info.ModTime())
	}
	// A new symlink may have the same inode as an old one, but its modification time
	// differs.
	if target == w.target && w.targetInfo != nil && os.SameFile(info, w.targetInfo) && info.ModTime().Equal(w.targetInfo.ModTime()) {
		return
	}
	if target == "" {
		// The current tree is not a symlink, so OpenCurrent returns an error.
		w.target, w.targetInfo = target, info
		w.handle(OpenCurrent(w.stateDir))
		return
	}
	// Open the tree of exactly this symlink. A newer symlink causes its own event, and
	// that event would deliver the same tree again.
	t, err := tree.Open(resolve(link, target))
	if errors.Is(err, fs.ErrNotExist) {
		if now, statErr := os.Lstat(link); statErr != nil || !os.SameFile(now, info) || !now.ModTime().Equal(info.ModTime()) {
			return
		}
	}
	w.target, w.targetInfo = target, info
	w.handle(t, err)
}
