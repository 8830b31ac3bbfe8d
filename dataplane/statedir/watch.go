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

// OpenCurrent opens the current tree of a state directory. If no tree has been published yet,
// it returns an error that wraps fs.ErrNotExist.
func OpenCurrent(stateDir string) (*tree.Tree, error) {
	link := Current(stateDir)
	for {
		target, err := os.Readlink(link)
		if err != nil {
			return nil, fmt.Errorf("finding the current tree: %w", err)
		}
		t, err := tree.Open(resolve(link, target))
		if !errors.Is(err, fs.ErrNotExist) {
			return t, err
		}
		// After Readlink has returned, a publisher may have published another tree and
		// removed this one. In this case, try again.
		if again, _ := os.Readlink(link); again == target {
			return nil, err
		}
	}
}

// resolve returns the path to which a symlink refers. The `target` parameter is the content of the
// symlink.
func resolve(link, target string) string {
	if filepath.IsAbs(target) {
		return target
	}
	return filepath.Join(filepath.Dir(link), target)
}

// Watch calls `handle` with the current tree of a state directory, and calls it again for each
// tree that is published later. It makes one call at a time. If several trees are published during
// a call, Watch delivers only the newest tree. The function `handle` owns the tree, and must close
// it when the tree is no longer in use.
//
// If the current tree cannot be opened, Watch calls `handle` once with a nil tree and the error.
// The tree that was delivered earlier stays valid. If there is no tree or no state directory yet,
// Watch waits for a tree.
//
// Watch returns nil when the context ends. It returns an error if the directory cannot be watched.
func Watch(ctx context.Context, stateDir string, handle func(*tree.Tree, error)) error {
	d := delivery{stateDir: filepath.Clean(stateDir), handle: handle}
	again := time.NewTicker(checkInterval)
	defer again.Stop()
	return watchDir(ctx, treesDir(d.stateDir), again.C, d.deliver)
}

// checkInterval is the interval at which Watch checks the current tree even if no event occurs.
// This check is necessary because fsnotify can lose the watch on DIR/tree when the directory is
// removed and created again.
const checkInterval = time.Second

// watchDir calls the function `changed` once at the beginning. It then calls `changed` each
// time an entry of the directory changes, and each time it receives a value from the channel
// `again`. While the directory does not exist, watchDir watches the nearest existing parent
// directory instead.
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
			// After an overflow, some events are missing, so continue as if an event had
			// occurred.
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				return fmt.Errorf("watching %s: %w", dir, err)
			}
		}
	}
}

// watch watches a directory. While the directory does not exist, it watches the nearest
// existing parent directory.
type watch struct {
	notify *fsnotify.Watcher
	dir    string
	// The variable `watched` is the directory that is currently watched: `dir` or its nearest
	// existing parent directory.
	watched     string
	watchedInfo fs.FileInfo
}

// follow starts to watch the directory. If the directory does not exist, follow starts to watch
// the nearest existing parent directory.
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
		// Check again, because a directory on the path from `dir` to w.dir may have been
		// created before the watch on `dir` started.
		w.watched, w.watchedInfo = dir, info
	}
}

// forget ends the current watch.
func (w *watch) forget() {
	if w.watched != "" {
		// Remove fails if the directory no longer exists. In this case, the watch has
		// already ended.
		_ = w.notify.Remove(w.watched)
		w.watched = ""
	}
}

// delivery delivers the current tree of a state directory.
type delivery struct {
	stateDir string
	handle   func(*tree.Tree, error)
	// target and targetInfo describe the symlink at the time of the last call of `handle`.
	target     string
	targetInfo fs.FileInfo
}

// deliver opens the current tree and calls `handle` if the symlink has changed since the last
// call.
func (d *delivery) deliver() {
	link := Current(d.stateDir)
	var info fs.FileInfo
	var target string
	// Read the symlink and its file information until both belong to the same symlink. Otherwise,
	// the target of a new symlink could be stored with the file information of the previous
	// symlink. The event about the replacement would then cause a second delivery of the same
	// tree.
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
	// A new symlink may have the same inode number as an earlier symlink, so compare the
	// modification times as well.
	if target == d.target && d.targetInfo != nil && os.SameFile(info, d.targetInfo) && info.ModTime().Equal(d.targetInfo.ModTime()) {
		return
	}
	if target == "" {
		// The file DIR/tree/current is not a symlink, so OpenCurrent returns an error.
		d.target, d.targetInfo = target, info
		d.handle(OpenCurrent(d.stateDir))
		return
	}
	// Open the target of this symlink, even if a newer symlink exists now. The newer symlink
	// causes its own event. If the newer tree were delivered now, this event would cause a
	// second delivery of the same tree.
	t, err := tree.Open(resolve(link, target))
	if errors.Is(err, fs.ErrNotExist) {
		if now, statErr := os.Lstat(link); statErr != nil || !os.SameFile(now, info) || !now.ModTime().Equal(info.ModTime()) {
			return
		}
	}
	d.target, d.targetInfo = target, info
	d.handle(t, err)
}
