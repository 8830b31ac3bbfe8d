// Package mapped maps trees for queries.
package mapped

import (
	"errors"
	"fmt"
	"os"

	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/tree"
)

// Tree maps a tree as the dataplane does. The function `publish` must publish the tree in the given
// directory. Tree removes the directory as soon as the tree is mapped, so that no file remains even if
// the process is killed later. The caller must call Close of the tree.
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
