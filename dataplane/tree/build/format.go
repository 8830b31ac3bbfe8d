package build

import "github.com/sluicenet/sluice/dataplane/tree/internal/format"

// Format is the version of the tree format that a Builder encodes.
const Format uint64 = format.Version
