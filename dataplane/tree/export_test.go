package tree

// ShareLeaves lets the builder's programs have the leaves of those that are beyond
// flatLimit.
func (b *Builder) ShareLeaves() { b.flat = 0 }
