package ruleset

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/ruleset/internal/nft"
)

// ErrKernel means that the kernel lacks a feature that Sluice needs.
var ErrKernel = errors.New("this kernel cannot enforce")

// Queueing is the method by which a rule sends packets to a queue.
type Queueing string

// The queueing methods. A kernel may support both methods, one method or none.
const (
	// QueueExpression is the queue expression of nftables: CONFIG_NFT_QUEUE.
	QueueExpression Queueing = "queue expression"
	// QueueTarget is the xtables target NFQUEUE in an nftables rule, through
	// nft_compat: CONFIG_NETFILTER_XT_TARGET_NFQUEUE and CONFIG_NFT_COMPAT.
	QueueTarget Queueing = "NFQUEUE target"
)

// Kernel describes the features of the running kernel that the rules of Sluice use.
type Kernel struct {
	Queueing Queueing
	// SetCounters reports whether sets can count packets. Some kernels before Linux 5.11 do not
	// support this.
	SetCounters bool
	// Lanes reports whether rules can measure the rate of each pod. This requires CONFIG_NFT_LIMIT,
	// CONFIG_NFT_HASH, and sets that rules can fill.
	Lanes bool
}

// feature is a kernel feature that the table needs. A kernel without the feature rejects the
// rule in the field `rule`. The field `missing` describes the feature in an error.
type feature struct {
	rule    nft.Expressions
	missing string
}

// FindKernel detects the features of the kernel, in the network namespace of the calling
// thread. For each feature, it sends a transaction that adds a rule and removes it again, so no
// rule remains and no packet is affected. If features are missing, FindKernel returns an error
// that wraps ErrKernel and lists the missing features.
func FindKernel() (Kernel, error) {
	if err := try(nil); err != nil {
		if errors.Is(err, unix.EPERM) {
			return Kernel{}, fmt.Errorf("%w: changing nftables needs CAP_NET_ADMIN: %w", ErrKernel, err)
		}
		return Kernel{}, fmt.Errorf("%w: nftables with tables of family inet is missing (CONFIG_NF_TABLES, CONFIG_NF_TABLES_INET): %w", ErrKernel, err)
	}
	var missing []string
	for _, f := range []feature{
		{nft.ConnectionMarkIs(1, 1), "connection marks in rules (CONFIG_NFT_CT, CONFIG_NF_CONNTRACK_MARK)"},
		{nft.SourceIsLocal(), "address types in rules (CONFIG_NFT_FIB_INET)"},
		{nft.Expressions{nft.RejectProhibited()}, "rejecting packets in rules (CONFIG_NFT_REJECT_INET)"},
	} {
		if try(f.rule) != nil {
			missing = append(missing, f.missing)
		}
	}
	k := Kernel{Queueing: QueueExpression}
	if try(nft.Expressions{queueTo(QueueExpression, 0, 1, false)}) != nil {
		k.Queueing = QueueTarget
		if try(nft.Expressions{queueTo(QueueTarget, 0, 1, false)}) != nil {
			missing = append(missing, "queues in rules (either CONFIG_NFT_QUEUE, or CONFIG_NFT_COMPAT with CONFIG_NETFILTER_XT_TARGET_NFQUEUE)")
		}
	}
	if len(missing) > 0 {
		return Kernel{}, fmt.Errorf("%w: missing: %s", ErrKernel, strings.Join(missing, "; "))
	}
	k.SetCounters, k.Lanes = trySet(podLinks) == nil, tryLanes() == nil
	return k, nil
}

// FindBridgeTables returns an error unless the kernel supports nftables tables of family
// bridge. It leaves no table behind.
func FindBridgeTables() error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("opening netlink: %w", err)
	}
	c.DelTable(c.AddTable(&nftables.Table{Family: nftables.TableFamilyBridge, Name: tableName + "-probe"}))
	return c.Flush()
}

// try returns an error if the kernel rejects the given rule.
func try(rule nft.Expressions) error {
	return tryTable(func(c *nftables.Conn, t *nftables.Table) error {
		chain := c.AddChain(&nftables.Chain{Table: t, Name: "probe"})
		if len(rule) > 0 {
			c.AddRule(&nftables.Rule{Table: t, Chain: chain, Exprs: append(rule, &expr.Verdict{Kind: expr.VerdictReturn})})
		}
		return nil
	})
}

// trySet returns an error if the kernel rejects the given set of interfaces. The set contains
// one element during the attempt.
func trySet(s set) error {
	return tryTable(func(c *nftables.Conn, t *nftables.Table) error {
		return c.AddSet(s.of(t), []nftables.SetElement{{Key: nft.Native(nft.LoopbackIndex)}})
	})
}

// tryTable calls `add` to add content to a temporary table, and returns an error if the kernel
// rejects the content. `add` must not add base chains, because the kernel drops queued packets
// when it removes a base chain.
func tryTable(add func(c *nftables.Conn, t *nftables.Table) error) error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("opening netlink: %w", err)
	}
	t := c.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: tableName + "-probe"})
	if err := add(c, t); err != nil {
		return err
	}
	c.DelTable(t)
	return c.Flush()
}
