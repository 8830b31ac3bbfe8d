package report

// PodPackets describes whether the packets that pods send reach the rules. The dataplane
// compares the packet counter of an interface with the counter of the rules once the
// interface's pods have sent enough packets within a minute.
type PodPackets struct {
	// Observed is the number of interfaces whose packets reach the rules. Bypassed is the number of
	// interfaces whose packets bypass the rules. Idle is the number of interfaces that have not
	// been compared yet.
	Observed int `json:"observed"`
	Bypassed int `json:"bypassed"`
	Idle     int `json:"idle"`
	// Examples describes some of the interfaces that Bypassed counts.
	Examples []BypassedInterface `json:"examples,omitempty"`
}

// BypassedInterface is an interface whose packets bypass the rules.
type BypassedInterface struct {
	// Interface is the name of the interface on the node. Bridge is set if it is a bridge.
	Interface string `json:"interface"`
	Bridge    bool   `json:"bridge,omitempty"`
	// Pod is the name of a pod to which the interface leads, as NAMESPACE/NAME.
	Pod string `json:"pod"`
	// Sent is the number of packets that the interface received from its pods during the latest
	// comparison. Seen is the number of these packets that reached the rules.
	Sent uint64 `json:"sent"`
	Seen uint64 `json:"seen"`
}
