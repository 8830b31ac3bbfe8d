// Package field represents paths of fields in API objects.
package field

import "fmt"

// Path is the path of a field. The path is converted to text only if an error contains the path,
// because most objects have no errors.
type Path struct {
	// Parent is the first part of the path, such as spec.ingress[0].
	Parent string
	// List and Index are the second part of the path: an entry of a list, such as from[1]. If the
	// path has no such part, List is empty.
	List  string
	Index int
	// child is the last part of the path, such as ipBlock. It is the path of a field inside the
	// list entry or, if List is empty, inside Parent. If the path has no such part, child is empty.
	child string
}

// Child returns the path of a field inside the field p.
func (p Path) Child(name string) Path {
	if p.child != "" {
		name = p.child + "." + name
	}
	p.child = name
	return p
}

// String returns the path, such as spec.ingress[0].from[1].ipBlock.
func (p Path) String() string {
	out := p.Parent
	if p.List != "" {
		out = fmt.Sprintf("%s.%s[%d]", out, p.List, p.Index)
	}
	if p.child != "" {
		out += "." + p.child
	}
	return out
}
