package report

import "time"

// Held describes the packets that the dataplane holds because one end of the connection is
// an unknown pod: a pod that the tree in use does not contain yet. All counters except
// Waiting start when the dataplane starts.
type Held struct {
	// Limit is the longest time for which a packet is held. If it is 0, no packet is held,
	// and all other fields are empty.
	Limit time.Duration `json:"limitNanoseconds"`
	// Waiting is the number of packets that are held now.
	Waiting int `json:"waiting"`
	// Released counts packets that were released because both ends were known. NotPods
	// counts packets that were released because the unknown address does not belong to a
	// pod. The rules then evaluated these packets like all others.
	Released uint64 `json:"released"`
	NotPods  uint64 `json:"notPods"`
	// The failure policy decided about the packets of the next three counters. TimedOut
	// counts packets of pods that were still unknown after Limit. NoAgent counts packets of
	// unknown pods that arrived while no agent was running. OverLimit counts packets of
	// unknown pods for which there was no room.
	TimedOut  uint64 `json:"timedOut"`
	NoAgent   uint64 `json:"noAgent"`
	OverLimit uint64 `json:"overLimit"`
	// Repeated counts TCP packets that were dropped because an earlier packet of the same
	// connection was held.
	Repeated uint64 `json:"repeated"`
	// Unreadable counts packets that were dropped because they have no valid IP header.
	Unreadable uint64 `json:"unreadable"`
	// VerdictErrors counts verdicts that the kernel rejected because it no longer held the
	// packet.
	VerdictErrors uint64 `json:"verdictErrors"`
	// Learned lists the names of the interfaces that were found to lead to no pod, because
	// an unknown address on them did not belong to a pod.
	Learned []string `json:"learned,omitempty"`
	// CNIResults reports whether the CNI results of the node can be read. If they cannot be
	// read, no packet is held, because the dataplane does not recognize unknown pods.
	CNIResults bool `json:"cniResults"`
	// AgentGone is set while no agent runs that could publish another tree. Then packets of
	// unknown pods are not held once there is a tree.
	AgentGone bool `json:"agentGone,omitempty"`
}
