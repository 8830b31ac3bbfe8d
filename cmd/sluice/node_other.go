//go:build !linux

package main

import (
	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/cmd/sluice/internal/nodeonly"
	"github.com/sluicenet/sluice/dataplane/tree"
)

// nodeCommands returns hidden commands that fail with an error that states where they run.
func nodeCommands() []*cobra.Command { return nodeonly.Commands() }

// openPublished returns an error.
func openPublished(string) (*tree.Tree, error) { return nil, nodeonly.Error("--state-dir") }
