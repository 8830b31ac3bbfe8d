package observed_test

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/node/observed"
	"github.com/sluicenet/sluice/dataplane/report"
)

func TestCondition(t *testing.T) {
	pair := report.BypassedInterface{Interface: "veth7", Pod: "shop/db", Sent: 200}
	bridge := report.BypassedInterface{Interface: "cni0", Pod: "shop/db", Sent: 200, Bridge: true}
	status := func(p report.PodPackets) *report.Status { return &report.Status{PodPackets: &p} }
	for name, tt := range map[string]struct {
		running *report.Status
		status  metav1.ConditionStatus
		reason  v1alpha1.Reason
		words   []string
	}{
		"no dataplane":  {nil, metav1.ConditionUnknown, v1alpha1.ReasonNoDataplane, nil},
		"no counters":   {&report.Status{}, metav1.ConditionUnknown, v1alpha1.ReasonPacketsNotCounted, []string{"macvlan"}},
		"no packets":    {status(report.PodPackets{Idle: 2}), metav1.ConditionUnknown, v1alpha1.ReasonTooFewPackets, nil},
		"seen":          {status(report.PodPackets{Observed: 1, Idle: 2}), metav1.ConditionTrue, v1alpha1.ReasonPacketsSeen, nil},
		"eBPF":          {status(report.PodPackets{Observed: 1, Bypassed: 1, Examples: []report.BypassedInterface{pair}}), metav1.ConditionFalse, v1alpha1.ReasonPacketsBypassNetfilter, []string{"1 of 2", "veth7 of pod shop/db", "eBPF"}},
		"br_netfilter":  {status(report.PodPackets{Bypassed: 1, Examples: []report.BypassedInterface{bridge}}), metav1.ConditionFalse, v1alpha1.ReasonPacketsBypassNetfilter, []string{"cni0", "br_netfilter"}},
		"without names": {status(report.PodPackets{Bypassed: 3}), metav1.ConditionFalse, v1alpha1.ReasonPacketsBypassNetfilter, []string{"3 of 3"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := observed.Condition(tt.running)
			if got.Type != string(v1alpha1.ConditionPacketsObserved) || got.Status != tt.status || got.Reason != string(tt.reason) {
				t.Errorf("condition %+v, want %s with reason %s", got, tt.status, tt.reason)
			}
			for _, word := range tt.words {
				if !strings.Contains(got.Message, word) {
					t.Errorf("message %q, want one with %q", got.Message, word)
				}
			}
			if bypass := observed.Bypass(tt.running); (bypass != "") != (tt.status == metav1.ConditionFalse) {
				t.Errorf("Bypass returns %q", bypass)
			}
		})
	}
}
