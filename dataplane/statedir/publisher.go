package statedir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/tree/build"
)

// Publisher publishes trees in a state directory. Several publishers may share a directory,
// even if they are in different processes, because a lock serializes them.
type Publisher struct {
	dir string
	// last is the highest generation that this publisher has published. The next generation is
	// higher, even if the tree files have been removed.
	last uint64
}

// NewPublisher returns a publisher for a state directory. It creates DIR/tree, and removes
// partial files that an interrupted publisher has left behind.
func NewPublisher(stateDir string) (*Publisher, error) {
	p := &Publisher{dir: treesDir(stateDir)}
	err := p.locked(func() error { return p.removePartial() })
	if err != nil {
		return nil, fmt.Errorf("preparing state directory %s: %w", stateDir, err)
	}
	return p, nil
}

// Publish writes the rules of the builder to the tree file of the next generation. It then makes
// this tree the current one by an atomic rename. So a reader that opens DIR/tree/current always
// gets a complete file: either the previous tree or the new tree. The new generation is higher
// than every generation in the directory. Publish keeps the previous tree for readers that are
// about to open it, and removes older trees. If Publish returns an error, the current tree is
// unchanged.
func (p *Publisher) Publish(b *build.Builder) (generation uint64, err error) {
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
			return errors.New("a file has the highest possible generation: remove it")
		}
		if err := p.write(b, generation); err != nil {
			return errors.Join(err, p.removePartial())
		}
		p.last = generation
		p.removeOld(current, all)
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("publishing a tree in %s: %w", p.dir, err)
	}
	return generation, nil
}

// The method `locked` acquires the lock on the directory, calls f, and releases the lock. During
// the call of f, no other publisher writes to the directory. If necessary, the method first creates
// the directory.
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
	defer dir.Close() // Close also releases the lock.
	if err := flock(dir, unix.LOCK_EX); err != nil {
		return fmt.Errorf("locking %s: %w", p.dir, err)
	}
	return f()
}

// write writes a tree file and makes the tree the current tree.
func (p *Publisher) write(b *build.Builder, generation uint64) error {
	image, err := b.Encode(generation)
	if err != nil {
		return err
	}
	if err := p.removePartial(); err != nil {
		return err
	}
	partial, link := filepath.Join(p.dir, partialTree), filepath.Join(p.dir, partialCurrent)
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

func writeImage(path string, image *build.Image) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return err
	}
	_, err = image.WriteTo(file)
	return errors.Join(err, file.Chmod(fileMode), file.Close())
}

// removePartial removes files with temporary names that an interrupted or failed publication
// has left behind.
func (p *Publisher) removePartial() error {
	var errs []error
	for _, name := range [...]string{partialTree, partialCurrent, partialPodRanges} {
		errs = append(errs, removeIfExists(filepath.Join(p.dir, name)))
	}
	return errors.Join(errs...)
}

// removeOld removes the trees of all given generations except the current generation. If a tree
// cannot be removed, the next publication tries again.
func (p *Publisher) removeOld(current uint64, all []uint64) {
	for _, g := range all {
		if g != current {
			_ = os.Remove(filepath.Join(p.dir, treeName(g)))
		}
	}
}

// generations returns the generation of the current tree, to which the symlink refers, or 0 if
// there is no symlink. It also returns the generations of all tree files.
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
