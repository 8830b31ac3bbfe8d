package ruleset

import (
	"encoding/binary"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"

	"github.com/sluicenet/sluice/dataplane/ruleset/internal/nft"
)

// podLinks contains the interface indexes in Links.Pods.
var podLinks = set{name: "pod-links", keyType: nftables.TypeIFIndex, order: binaryutil.NativeEndian, counted: true}

// priorityObserve is the priority of the chain that counts packets. The chain runs before conntrack
// assembles fragments (-400), and before other programs drop packets.
const priorityObserve = -450

// observeChain returns the chain that counts the packets from the interfaces of pods.
func observeChain() chain {
	return chain{
		name: "observe", hook: nftables.ChainHookPrerouting, priority: priorityObserve,
		rules: []nft.Expressions{inputInterfaceIn(podLinks)},
	}
}

// PodPackets returns the number of packets that have arrived on each interface in Links.Pods and
// have reached the prerouting hook. The key is the index of the interface. The counters start when
// the table is installed. The map is empty if the kernel does not support counters in sets.
func (t *Table) PodPackets() (map[uint32]uint64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	elements, err := t.conn.GetSetElements(podLinks.of(t.table))
	if err != nil {
		return nil, fmt.Errorf("reading set %s: %w", podLinks.name, err)
	}
	out := make(map[uint32]uint64, len(elements))
	for _, e := range elements {
		if e.Counter != nil && len(e.Key) == 4 {
			out[binary.NativeEndian.Uint32(e.Key)] = e.Counter.Packets
		}
	}
	return out, nil
}
