package input

import (
	"errors"
	"fmt"
	"strings"
)

// Expectation is the verdict that a user expects: allow, deny, or "" for any verdict. It implements
// pflag.Value.
type Expectation string

// String returns the expected verdict.
func (x *Expectation) String() string { return string(*x) }

// Set sets the expected verdict.
func (x *Expectation) Set(text string) error {
	if text != "allow" && text != "deny" {
		return errors.New("want allow or deny")
	}
	*x = Expectation(text)
	return nil
}

// Type returns the name of the flag's value in help texts.
func (*Expectation) Type() string { return "verdict" }

// Check returns an error if a verdict differs from the expected verdict. A mixed verdict always
// differs.
func (x *Expectation) Check(verdict string) error {
	if *x == "" || strings.EqualFold(string(*x), verdict) {
		return nil
	}
	return fmt.Errorf("expected %s, but the verdict is %s", *x, verdict)
}
