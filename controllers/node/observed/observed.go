// Package observed computes the condition PacketsObserved of a NodeEnforcer. The condition reports
// whether the packets of the pods of a node reach the rules of the dataplane. Pod networks that
// forward packets without netfilter bypass all policies.
package observed

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/dataplane/report"
)

// Condition returns the condition PacketsObserved. The `running` parameter is the status of the
// dataplane, or nil if the dataplane does not respond.
func Condition(running *report.Status) metav1.Condition {
	condition := func(status metav1.ConditionStatus, reason v1alpha1.Reason, message string) metav1.Condition {
		return v1alpha1.NewCondition(v1alpha1.ConditionPacketsObserved, status, reason, message)
	}
	switch {
	case running == nil:
		return condition(metav1.ConditionUnknown, v1alpha1.ReasonNoDataplane, "the dataplane does not respond")
	case running.PodPackets == nil:
		return condition(metav1.ConditionUnknown, v1alpha1.ReasonPacketsNotCounted,
			"no interface of the node leads to a single pod or is a bridge, or the kernel does not support counters in nftables sets (Linux 5.11 or later): "+
				"packets of pods with macvlan, ipvlan or SR-IOV interfaces bypass the policies")
	case running.PodPackets.Bypassed > 0:
		return condition(metav1.ConditionFalse, v1alpha1.ReasonPacketsBypassNetfilter, Bypass(running))
	case running.PodPackets.Observed > 0:
		return condition(metav1.ConditionTrue, v1alpha1.ReasonPacketsSeen, "the packets that pods send reach the rules")
	}
	return condition(metav1.ConditionUnknown, v1alpha1.ReasonTooFewPackets, "no pod has sent enough packets yet")
}

// Bypass returns a message about the pods whose packets bypass the rules, with the likely cause. It
// returns "" if there is no evidence of such pods.
func Bypass(running *report.Status) string {
	if running == nil || running.PodPackets == nil || running.PodPackets.Bypassed == 0 {
		return ""
	}
	p := running.PodPackets
	message := fmt.Sprintf("packets bypass netfilter on %d of %d interfaces of pods, so policies do not apply to them", p.Bypassed, p.Bypassed+p.Observed+p.Idle)
	if len(p.Examples) == 0 {
		return message
	}
	// The numbers of packets change all the time, so the message does not contain them.
	e := p.Examples[0]
	cause := "the pod network probably forwards packets with eBPF (host routing); configure it to use netfilter"
	if e.Bridge {
		cause = "br_netfilter is probably off; load br_netfilter and set net.bridge.bridge-nf-call-iptables and net.bridge.bridge-nf-call-ip6tables to 1"
	}
	return fmt.Sprintf("%s, for example %s of pod %s: %s", message, e.Interface, e.Pod, cause)
}
