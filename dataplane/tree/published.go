package tree

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Published gives the generation that the current tree of a state directory
// has by its name, without opening it: 0 where none was published yet.
func Published(stateDir string) (uint64, error) {
	target, err := os.Readlink(filepath.Join(stateDir, treeDir, currentName))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("finding current tree: %w", err)
	}
	g, ok := generationOf(filepath.Base(target))
	if !ok {
		return 0, fmt.Errorf("finding current tree: %s is no name of a tree", target)
	}
	return g, nil
}
