package tree

import "github.com/sluicenet/sluice/dataplane/tree/internal/format"

// Formats returns the versions of the tree format that Open reads.
func Formats() []uint64 { return []uint64{format.Version} }
