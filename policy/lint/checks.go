package lint

import (
	"slices"

	"github.com/sluicenet/sluice/policy/lint/internal/check"
	"github.com/sluicenet/sluice/policy/lint/internal/peers"
	"github.com/sluicenet/sluice/policy/lint/internal/ports"
	"github.com/sluicenet/sluice/policy/lint/internal/resolve"
	"github.com/sluicenet/sluice/policy/lint/internal/text"
	"github.com/sluicenet/sluice/policy/lint/internal/tiers"
)

// Check describes one check that lint runs on policies.
type Check = check.Check

// Finding is one result of a check.
type Finding = check.Finding

// Severity states how likely a finding is a mistake.
type Severity = check.Severity

// These are the severities. The most severe one comes first.
const (
	Error   = check.Error
	Warning = check.Warning
	Note    = check.Note
)

// Scope is a set of objects that a check reads.
type Scope = check.Scope

// These are the scopes. Each scope includes the scopes before it.
const (
	ScopePolicy    = check.ScopePolicy
	ScopeNamespace = check.ScopeNamespace
	ScopeCluster   = check.ScopeCluster
)

// checks lists all checks. If several checks have findings for the same place in a policy,
// the findings are reported in the order of this list.
var checks = []Check{
	text.NotUnderstood,
	peers.NoPodSelected,
	text.DeadRules,
	text.RuleAllowsAll,
	text.SplitRule,
	text.EmptyField,
	text.EmptyRules,
	peers.AllowAllElsewhere,
	peers.RunsSometimes,
	peers.NoNamespaceMatched,
	peers.NoPeerMatched,
	peers.HostNetworkPeer,
	peers.TwoDashes,
	text.ExceptEqualsCIDR,
	text.LeadingZeros,
	text.HostBits,
	peers.BlockOfPod,
	peers.ServiceAddress,
	peers.OneFamily,
	ports.NoSuchPort,
	ports.PortOfSome,
	ports.ServicePort,
	ports.UndeclaredPort,
	resolve.NoDNS,
	tiers.SamePriority,
	tiers.ShadowedRule,
	tiers.BaselineUnreached,
	resolve.DenyOfDNS,
	tiers.NetworkOfPods,
	tiers.EveryPodQueued,
	peers.NoNamespaceObject,
	check.TooLarge,
	check.Failed,
}

// Checks returns all checks.
func Checks() []Check { return slices.Clone(checks) }
