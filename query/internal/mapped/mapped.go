// Package mapped maps trees into memory for queries.
package mapped

import (
	"errors"
	"fmt"
	"os"

	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/tree"
)

// Tree creates a temporary directory, calls `publish` to publish a tree in it, and maps this tree
// into memory as the dataplane does. Then Tree removes the directory. So no file remains, even if
// the process is killed later. The caller must close the tree.
func Tree(publish func(stateDir string) error) (t *tree.Tree, err error) {
	stateDir, err := os.MkdirTemp("", "sluice-query-")
	if err != nil {
		return nil, fmt.Errorf("creating a directory for the tree: %w", err)
	}
	defer func() {
		if removeErr := os.RemoveAll(stateDir); removeErr != nil && err == nil {
			err = errors.Join(removeErr, t.Close())
			t = nil
		}
	}()
	if err := publish(stateDir); err != nil {
		return nil, err
	}
	return statedir.OpenCurrent(stateDir)
}
