package statedir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

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
	d := delivery{stateDir: filepath.Clean(stateDir), handle: handle}
	again := time.NewTicker(checkInterval)
	defer again.Stop()
	return watchDir(ctx, treesDir(d.stateDir), again.C, d.deliver)
}

// checkInterval is the time between two checks of the current tree without an event. If
// DIR/tree is removed and created again, fsnotify can lose the watch on it.
const checkInterval = time.Second

// watchDir calls changed now, and again each time an entry of a directory changes or the
// channel again receives. While the directory does not exist, changed is called when a
// directory above it changes.
func watchDir(ctx context.Context, dir string, again <-chan time.Time, changed func()) error {
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watching %s: %w", dir, err)
	}
	defer notify.Close()
	w := watch{notify: notify, dir: dir}
	for {
		if err := w.follow(); err != nil {
			return fmt.Errorf("watching %s: %w", dir, err)
		}
		if ctx.Err() != nil {
			return nil
		}
		changed()
		select {
		case <-ctx.Done():
			return nil
		case <-again:
		case event := <-notify.Events:
			if event.Name == w.watched && (event.Has(fsnotify.Remove) || event.Has(fsnotify.Rename)) {
				w.forget()
			}
		case err := <-notify.Errors:
			// After an overflow, events are lost: check everything again.
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				return fmt.Errorf("watching %s: %w", dir, err)
			}
		}
	}
}

// watch is the watch of a directory.
type watch struct {
	notify *fsnotify.Watcher
	dir    string
	// watched is the directory that is currently watched: dir or its nearest existing
	// parent directory.
	watched     string
	watchedInfo fs.FileInfo
}

// follow watches the directory, or the nearest existing directory above it.
func (w *watch) follow() error {
	for {
		dir := w.dir
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

// delivery delivers the current tree of a state directory.
type delivery struct {
	stateDir string
	handle   func(*tree.Tree, error)
	// target and targetInfo describe the symlink at the latest delivery or rejection.
	target     string
	targetInfo fs.FileInfo
}

// deliver opens the current tree and calls handle if the symlink has changed.
func (d *delivery) deliver() {
	link := Current(d.stateDir)
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
	if target == d.target && d.targetInfo != nil && os.SameFile(info, d.targetInfo) && info.ModTime().Equal(d.targetInfo.ModTime()) {
		return
	}
	if target == "" {
		// The current tree is not a symlink, so OpenCurrent returns an error.
		d.target, d.targetInfo = target, info
		d.handle(OpenCurrent(d.stateDir))
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
	d.target, d.targetInfo = target, info
	d.handle(t, err)
}
