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

// Add appends an error, unless the list already contains 100 errors.
func (e *FieldErrors) Add(field, format string, args ...any) {
	if len(*e) < 100 {
		*e = append(*e, FieldError{Field: field, Message: fmt.Sprintf(format, args...)})
	}
}
