package main

import (
	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/tree"
)

// nodeCommands returns the commands that run on a node or in a pod. Only these commands, in files
// with the suffix _linux.go, use packages that do not build on other platforms.
func nodeCommands() []*cobra.Command {
	return []*cobra.Command{
		agentCommand(),
		endsAtOnce(compileCommand()),
		dataplaneCommand(),
		endsAtOnce(healthCommand()),
		operatorCommand(),
	}
}

// openPublished opens the current tree of a state directory.
func openPublished(stateDir string) (*tree.Tree, error) {
	t, err := statedir.OpenCurrent(stateDir)
	if err != nil {
		return nil, wrongf("%w; give the state directory of a running agent or of sluice compile", err)
	}
	return t, nil
}
