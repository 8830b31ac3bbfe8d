package report

import (
	"net/netip"
	"time"
)

// FloodQueue contains the counters of the queue for pods that open or receive flows faster than one of
// the limits.
type FloodQueue struct {
	// Packets counts the packets that were evaluated. Dropped counts the packets that were dropped
	// because the queue or the socket buffer of its worker was full. The kernel drops these packets
	// with both failure policies.
	Packets uint64 `json:"packets"`
	Dropped uint64 `json:"dropped"`
	// Waiting is the number of packets that currently wait in the queue.
	Waiting uint64 `json:"waiting"`
}

// MaxFloodingPods limits the number of flooding pods in a status.
const MaxFloodingPods = 20

// FloodingPod is a pod that opens or receives flows faster than one of the limits, so that its first
// packets go to the flood queue.
type FloodingPod struct {
	// Pod is the namespace and name of the pod. It is empty if the tree in use does not contain the
	// pod. Address is the address of the pod.
	Pod     string     `json:"pod,omitempty"`
	Address netip.Addr `json:"address"`
	// Direction is "egress" if the pod opens the flows, and "ingress" if other hosts open them.
	Direction string `json:"direction"`
	// PerSecond is the highest rate between two samples since the time Since, in first packets per
	// second.
	PerSecond uint64 `json:"perSecond"`
	// Since and Last are the times of the first and the last sample in which the rate was above the
	// lower limit.
	Since time.Time `json:"since"`
	Last  time.Time `json:"last"`
}
