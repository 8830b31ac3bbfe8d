package cluster

// Empty reports whether the index uses no memory for namespaces and nodes.
func (x *Index) Empty() bool { return len(x.namespaces) == 0 && len(x.nodes) == 0 }
