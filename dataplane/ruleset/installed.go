package ruleset

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/ruleset/internal/nft"
)

// InstalledMarks returns the marks of the rules that are installed in the network namespace of the
// calling thread. It reads the mask from a rule of the chain `settle`. The result is the zero
// value if the table does not exist or another program has removed this rule.
func InstalledMarks() (Marks, error) {
	c, err := nftables.New()
	if err != nil {
		return Marks{}, fmt.Errorf("opening nftables: %w", err)
	}
	t := &nftables.Table{Family: nftables.TableFamilyINet, Name: tableName}
	rules, err := c.GetRules(t, &nftables.Chain{Table: t, Name: settle})
	if errors.Is(err, unix.ENOENT) {
		return Marks{}, nil
	}
	if err != nil {
		return Marks{}, fmt.Errorf("reading the rules of chain %s: %w", settle, err)
	}
	for _, r := range rules {
		if m, ok := marksIn(r.Exprs); ok {
			return m, nil
		}
	}
	return Marks{}, nil
}

// marksIn returns the marks of a rule that begins with markIs or markIsNot.
func marksIn(rule nft.Expressions) (Marks, bool) {
	if len(rule) < 2 {
		return Marks{}, false
	}
	meta, isMeta := rule[0].(*expr.Meta)
	bits, isBits := rule[1].(*expr.Bitwise)
	if !isMeta || !isBits || meta.Key != expr.MetaKeyMARK || len(bits.Mask) != 4 {
		return Marks{}, false
	}
	m, err := MarksOf(binary.NativeEndian.Uint32(bits.Mask))
	return m, err == nil
}
