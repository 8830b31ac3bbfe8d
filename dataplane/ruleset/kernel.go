package ruleset

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// ErrKernel: the kernel lacks something without which Sluice cannot enforce.
var ErrKernel = errors.New("this kernel cannot enforce")

// Queueing is the way in which a rule hands packets to a queue.
type Queueing string

// The two ways. Kernels have one, both or none.
const (
	// QueueExpression is nftables' own: CONFIG_NFT_QUEUE.
	QueueExpression Queueing = "queue expression"
	// QueueTarget is the xtables target, loaded by way of nft_compat:
	// CONFIG_NETFILTER_XT_TARGET_NFQUEUE and CONFIG_NFT_COMPAT.
	QueueTarget Queueing = "NFQUEUE target"
)

// Kernel is what the running kernel offers in the network namespace that the
// caller is in.
type Kernel struct {
	Queueing Queueing
}

// feature is something the table needs: a rule that only a kernel with it
// takes, and how to say so.
type feature struct {
	rule    expressions
	missing string
}

// FindKernel asks the kernel what it can do, by offering it rules in a
// transaction that also removes them: nothing stays, and no packet passes them.
// The error is ErrKernel with everything that is missing.
func FindKernel() (Kernel, error) {
	if err := try(nil); err != nil {
		if errors.Is(err, unix.EPERM) {
			return Kernel{}, fmt.Errorf("%w: changing nftables needs CAP_NET_ADMIN: %w", ErrKernel, err)
		}
		return Kernel{}, fmt.Errorf("%w: nftables with tables of family inet is missing (CONFIG_NF_TABLES, CONFIG_NF_TABLES_INET): %w", ErrKernel, err)
	}
	var missing []string
	for _, f := range []feature{
		{connectionMarkIs(1, 1), "connection marks in rules (CONFIG_NFT_CT, CONFIG_NF_CONNTRACK_MARK)"},
		{sourceIsLocal(), "address types in rules (CONFIG_NFT_FIB_INET)"},
		{expressions{prohibit()}, "refusing packets in rules (CONFIG_NFT_REJECT_INET)"},
	} {
		if try(f.rule) != nil {
			missing = append(missing, f.missing)
		}
	}
	k := Kernel{Queueing: QueueExpression}
	if try(expressions{queueTo(QueueExpression, 0, 1, false)}) != nil {
		k.Queueing = QueueTarget
		if try(expressions{queueTo(QueueTarget, 0, 1, false)}) != nil {
			missing = append(missing, "queues in rules (either CONFIG_NFT_QUEUE, or CONFIG_NFT_COMPAT with CONFIG_NETFILTER_XT_TARGET_NFQUEUE)")
		}
	}
	if len(missing) > 0 {
		return Kernel{}, fmt.Errorf("%w: missing: %s", ErrKernel, strings.Join(missing, "; "))
	}
	return k, nil
}

// try offers a rule to the kernel. The table has no base chain, so that its
// removal leaves waiting packets alone.
func try(rule expressions) error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("opening netlink: %w", err)
	}
	t := c.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: tableName + "-probe"})
	chain := c.AddChain(&nftables.Chain{Table: t, Name: "probe"})
	if len(rule) > 0 {
		c.AddRule(&nftables.Rule{Table: t, Chain: chain, Exprs: append(rule, &expr.Verdict{Kind: expr.VerdictReturn})})
	}
	c.DelTable(t)
	return c.Flush()
}
