package input

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/cmd/sluice/internal/choice"
)

// Expectation is the verdict that a user expects: allow, deny, or "" for any verdict.
type Expectation struct{ choice.Value }

// AddTo adds the flag --expect to a command.
func (x *Expectation) AddTo(cmd *cobra.Command) {
	x.Value = choice.New("verdict", "", "allow", "deny")
	cmd.Flags().Var(x, "expect", "exit with code 1 if the `verdict` is not the given one: "+x.List())
}

// Check returns an error if a verdict differs from the expected verdict. A mixed verdict always
// differs.
func (x *Expectation) Check(verdict string) error {
	if x.String() == "" || strings.EqualFold(x.String(), verdict) {
		return nil
	}
	return fmt.Errorf("expected %s, but the verdict is %s", x, verdict)
}
