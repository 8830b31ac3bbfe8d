package tree

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

// A state directory holds DIR/tree/<generation>.tree and the symlink
// DIR/tree/current to one of them.
const (
	treeDir      = "tree"
	currentName  = "current"
	treeSuffix   = ".tree"
	partialTree  = ".partial.tree"
	partialLink  = ".partial.current"
	treeFileMode = 0o644
	treeDirMode  = 0o755
)

// Publisher puts trees into a state directory. Several may share one, also in
// different processes: they take turns.
type Publisher struct {
	dir string
	// last is the highest generation published, should the files go away.
	last uint64
}

// NewPublisher prepares a state directory: it makes DIR/tree and removes what
// a publisher left that did not come to its end.
func NewPublisher(stateDir string) (*Publisher, error) {
	p := &Publisher{dir: filepath.Join(stateDir, treeDir)}
	err := p.locked(func() error { return p.removePartial() })
	if err != nil {
		return nil, fmt.Errorf("preparing state directory %s: %w", stateDir, err)
	}
	return p, nil
}

// Publish writes the builder's rules as the next generation and makes it the
// current one by an atomic rename: whoever opens DIR/tree/current finds the
// tree before or this one, whole. Generations continue after the highest that
// the directory holds. The tree before stays for those who are about to open
// it; older ones are removed. After an error the current tree is what it was.
func (p *Publisher) Publish(b *Builder) (generation uint64, err error) {
	err = p.locked(func() error {
		current, all, err := p.generations()
		if err != nil {
			return err
		}
		generation = max(p.last, current)
		for _, g := range all {
			generation = max(generation, g)
		}
		if generation++; generation == 0 {
			return errors.New("a file has the highest generation there is: remove it")
		}
		if err := p.write(b, generation); err != nil {
			return errors.Join(err, p.removePartial())
		}
		p.last = generation
		p.removeOld(current, all)
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("publishing tree in %s: %w", p.dir, err)
	}
	return generation, nil
}

// locked runs f while no other publisher works in the directory, which it
// makes if it has to.
func (p *Publisher) locked(f func() error) error {
	if err := makeDir(filepath.Dir(p.dir)); err != nil {
		return err
	}
	if err := makeDir(p.dir); err != nil {
		return err
	}
	dir, err := os.Open(p.dir)
	if err != nil {
		return err
	}
	defer dir.Close() // ends the lock
	for {
		if err = unix.Flock(int(dir.Fd()), unix.LOCK_EX); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("locking %s: %w", p.dir, err)
	}
	return f()
}

// makeDir makes a directory that everybody may read, whatever the umask.
func makeDir(path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil
	}
	if err := os.MkdirAll(path, treeDirMode); err != nil {
		return err
	}
	return os.Chmod(path, treeDirMode)
}

// write puts a tree in place and makes it the current one.
func (p *Publisher) write(b *Builder, generation uint64) error {
	image, err := b.Encode(generation)
	if err != nil {
		return err
	}
	if err := p.removePartial(); err != nil {
		return err
	}
	partial, link := filepath.Join(p.dir, partialTree), filepath.Join(p.dir, partialLink)
	name := treeName(generation)
	path := filepath.Join(p.dir, name)
	if err := writeImage(partial, image); err != nil {
		return err
	}
	if err := os.Symlink(name, link); err != nil {
		return err
	}
	if err := os.Rename(partial, path); err != nil {
		return err
	}
	if err := os.Rename(link, filepath.Join(p.dir, currentName)); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

func writeImage(path string, image *Image) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, treeFileMode)
	if err != nil {
		return err
	}
	_, err = image.WriteTo(file)
	return errors.Join(err, file.Chmod(treeFileMode), file.Close())
}

// removePartial removes what was not renamed into place.
func (p *Publisher) removePartial() error {
	var errs []error
	for _, name := range [...]string{partialTree, partialLink} {
		if err := os.Remove(filepath.Join(p.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// removeOld removes the trees there were, all but the one that was current. One
// that cannot be removed is tried again at the next publication.
func (p *Publisher) removeOld(current uint64, all []uint64) {
	for _, g := range all {
		if g != current {
			_ = os.Remove(filepath.Join(p.dir, treeName(g)))
		}
	}
}

// generations gives the generation that the symlink names, 0 where it names
// none, and those of the files.
func (p *Publisher) generations() (current uint64, all []uint64, err error) {
	target, err := os.Readlink(filepath.Join(p.dir, currentName))
	if err == nil {
		current, _ = generationOf(target)
	} else if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.EINVAL) {
		return 0, nil, err
	}
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		return 0, nil, err
	}
	for _, entry := range entries {
		if g, ok := generationOf(entry.Name()); ok {
			all = append(all, g)
		}
	}
	return current, all, nil
}

func treeName(generation uint64) string { return strconv.FormatUint(generation, 10) + treeSuffix }

// generationOf reads what treeName writes.
func generationOf(name string) (uint64, bool) {
	number, ok := strings.CutSuffix(name, treeSuffix)
	if !ok {
		return 0, false
	}
	g, err := strconv.ParseUint(number, 10, 64)
	return g, err == nil && treeName(g) == name
}
