package policy

import "fmt"

// FieldError describes a part of an object that is invalid or not supported.
type FieldError struct {
	// Field is the path of the part, such as spec.ingress[0].from[1].ipBlock.cidr.
	Field string
	// Message states what is wrong and what to write instead.
	Message string
}

// Error returns the field and the message in one line.
func (e FieldError) Error() string { return e.Field + ": " + e.Message }

// FieldErrors lists the first 100 errors of one object, in the order in which its fields are read.
type FieldErrors []FieldError

// Err returns the first error, or nil if the list is empty.
func (e FieldErrors) Err() error {
	if len(e) == 0 {
		return nil
	}
	return e[0]
}

func (e *FieldErrors) add(field, format string, args ...any) {
	if len(*e) < 100 {
		*e = append(*e, FieldError{Field: field, Message: fmt.Sprintf(format, args...)})
	}
}

// fieldPath is the path of a field. The path is converted to text only if an error contains
// the path, because most objects have no errors.
type fieldPath struct {
	// parent is the first part of the path, such as spec.ingress[0].
	parent string
	// list and index are the second part of the path: an entry of a list, such as from[1].
	// If the path has no such part, list is empty.
	list  string
	index int
	// child is the last part of the path, such as ipBlock. It is the path of a field inside
	// the list entry or, if list is empty, inside parent. If the path has no such part,
	// child is empty.
	child string
}

func (p fieldPath) field(child string) fieldPath {
	if p.child != "" {
		child = p.child + "." + child
	}
	p.child = child
	return p
}

// String returns the path, such as spec.ingress[0].from[1].ipBlock.
func (p fieldPath) String() string {
	out := p.parent
	if p.list != "" {
		out = fmt.Sprintf("%s.%s[%d]", out, p.list, p.index)
	}
	if p.child != "" {
		out += "." + p.child
	}
	return out
}
