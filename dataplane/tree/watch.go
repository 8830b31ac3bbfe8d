package tree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fsnotify/fsnotify"
)

// OpenCurrent opens the current tree of a state directory. The error is
// fs.ErrNotExist where none was published yet.
func OpenCurrent(stateDir string) (*Tree, error) {
	link := filepath.Join(stateDir, treeDir, currentName)
	for {
		target, err := os.Readlink(link)
		if err != nil {
			return nil, fmt.Errorf("finding current tree: %w", err)
		}
		t, err := Open(resolve(link, target))
		if !errors.Is(err, fs.ErrNotExist) {
			return t, err
		}
		// A publisher may have replaced and removed it meanwhile.
		if again, _ := os.Readlink(link); again == target {
			return nil, err
		}
	}
}

// resolve gives the path that a symlink means.
func resolve(link, target string) string {
	if filepath.IsAbs(target) {
		return target
	}
	return filepath.Join(filepath.Dir(link), target)
}

// Watch calls handle with the current tree of a state directory, and again
// with each tree published later, one call at a time. Publications during a
// call are made up for by one call with the newest. A tree belongs to handle,
// which closes it when nobody uses it any more: a dataplane does so after it
// has swapped in the next tree and the last batch on the old one has ended.
//
// A current tree that cannot be opened is reported once, as a nil tree and an
// error; the tree handed out before is still sound. No tree at all, or no
// state directory yet, is no error: Watch waits for it.
//
// Watch returns nil when the context ends, and an error when the directory
// cannot be watched.
func Watch(ctx context.Context, stateDir string, handle func(*Tree, error)) error {
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
			// An overflow has lost events: look at everything again.
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				return fmt.Errorf("watching %s: %w", stateDir, err)
			}
		}
	}
}

type watch struct {
	notify   *fsnotify.Watcher
	stateDir string
	handle   func(*Tree, error)
	// watched is the directory that is watched: DIR/tree, or as long as there
	// is none the nearest that exists above it.
	watched     string
	watchedInfo fs.FileInfo
	// The symlink whose tree was delivered or refused.
	target     string
	targetInfo fs.FileInfo
}

// follow watches DIR/tree, or the nearest directory above it that exists.
func (w *watch) follow() error {
	for {
		dir := filepath.Join(w.stateDir, treeDir)
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
		// Once more: the next directory may have come before the watch.
		w.watched, w.watchedInfo = dir, info
	}
}

// forget ends the watch on a directory.
func (w *watch) forget() {
	if w.watched != "" {
		// It fails where the directory is gone, and the watch with it.
		_ = w.notify.Remove(w.watched)
		w.watched = ""
	}
}

// deliver opens the current tree if it is another than before.
func (w *watch) deliver() {
	link := filepath.Join(w.stateDir, treeDir, currentName)
	var info fs.FileInfo
	var target string
	// A symlink that is replaced between the two calls would be delivered now,
	// and once more at its own event.
	for whole := false; !whole; {
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
		whole = os.SameFile(before, info) && before.ModTime().Equal(info.ModTime())
	}
	// The time tells apart symlinks that got the same inode one after another.
	if target == w.target && w.targetInfo != nil && os.SameFile(info, w.targetInfo) && info.ModTime().Equal(w.targetInfo.ModTime()) {
		return
	}
	if target == "" {
		// Something that is no symlink: say so.
		w.target, w.targetInfo = target, info
		w.handle(OpenCurrent(w.stateDir))
		return
	}
	// The tree of this very symlink: a newer one has its own event, and would
	// come a second time with it.
	t, err := Open(resolve(link, target))
	if errors.Is(err, fs.ErrNotExist) {
		if now, statErr := os.Lstat(link); statErr != nil || !os.SameFile(now, info) || !now.ModTime().Equal(info.ModTime()) {
			return
		}
	}
	w.target, w.targetInfo = target, info
	w.handle(t, err)
}
