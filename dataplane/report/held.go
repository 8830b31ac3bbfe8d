package report

import "time"

// Held describes the packets that the dataplane holds because their source or destination may
// be an unknown pod: a pod that the tree in use does not contain yet. All counters start at 0
// when the dataplane starts.
type Held struct {
	// Limit is the longest time for which a packet is held. If it is 0, no packet is held,
	// and all other fields are empty.
	Limit time.Duration `json:"limitNanoseconds"`
	// Waiting is the number of packets that are held now.
	Waiting int `json:"waiting"`
	// Released counts packets that were released because a tree now contains their pods.
	// NotPods counts packets that were released because an unknown address does not belong to a
	// pod.
	Released uint64 `json:"released"`
	NotPods  uint64 `json:"notPods"`
	// The next three counters are for packets to which the failure policy was applied. TimedOut
	// counts packets of pods that were still unknown after Limit. NoAgent counts packets of
	// unknown pods that arrived while no agent was running. OverLimit counts packets of unknown
	// pods for which there was no room.
	TimedOut  uint64 `json:"timedOut"`
	NoAgent   uint64 `json:"noAgent"`
	OverLimit uint64 `json:"overLimit"`
	// Repeated counts TCP packets that were dropped because an earlier packet of the same
	// connection was held.
	Repeated uint64 `json:"repeated"`
	// The next three counters are for packets that the tree denied and that a worker then moved
	// to the hold queue, because the peer may be a new pod of another node. PeersAllowed counts
	// packets that a later tree allowed. PeersDenied counts packets that no tree allowed in
	// time. PeersOverLimit counts packets that were denied at once because there was no room.
	PeersAllowed   uint64 `json:"peersAllowed"`
	PeersDenied    uint64 `json:"peersDenied"`
	PeersOverLimit uint64 `json:"peersOverLimit"`
	// Unreadable counts packets that were dropped because they have no valid IP header.
	Unreadable uint64 `json:"unreadable"`
	// VerdictErrors counts verdicts that the kernel rejected because it no longer held the
	// packet.
	VerdictErrors uint64 `json:"verdictErrors"`
	// Learned lists the names of the interfaces that the dataplane has found to lead to no pod. It
	// adds an interface when an unknown address on the interface does not belong to a pod.
	Learned []string `json:"learned,omitempty"`
	// CNIResults reports whether the CNI results of the node can be read. If they cannot be
	// read, the dataplane recognizes unknown pods of this node only by the pod ranges of the
	// node.
	CNIResults bool `json:"cniResults"`
	// PodRanges reports whether the pod ranges of the cluster are known. NodePodRanges reports
	// whether the pod ranges of this node are known. If the ranges of the cluster are not
	// known, no packet of a pod of another node is held.
	PodRanges     bool `json:"podRanges"`
	NodePodRanges bool `json:"nodePodRanges"`
	// AgentGone is set while no agent is running, so that no further tree is published. While
	// AgentGone is set and the dataplane uses a tree, packets of unknown pods are not held.
	AgentGone bool `json:"agentGone,omitempty"`
}
