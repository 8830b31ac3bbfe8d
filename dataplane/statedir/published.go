package statedir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Published returns the generation of the current tree in a state directory. It reads the
// generation from the file name and does not open the tree. If no tree has been published yet,
// Published returns 0.
func Published(stateDir string) (uint64, error) {
	target, err := os.Readlink(Current(stateDir))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("finding the current tree: %w", err)
	}
	g, ok := generationOf(filepath.Base(target))
	if !ok {
		return 0, fmt.Errorf("finding the current tree: %s is not the name of a tree", target)
	}
	return g, nil
}
