// Package hold holds the packets of unknown pods: it returns no verdict for such a packet until
// the tree in use contains the pod, or until a time limit passes.
//
// When a pod starts to send, the tree in use may not contain the pod yet. The rules then send
// the packets of the pod to the hold queue. A Holder serves this queue. For each address that
// the tree does not contain, it decides whether the address may belong to a pod:
//
//   - If the CNI results contain the address in the first network of a pod, the packet waits
//     for a tree that contains the pod.
//   - If the CNI results do not contain the address, the packet waits for a moment, because a
//     CNI result may be about to be written. If none is written, the address does not belong to
//     a pod, and the packet is released.
//   - If the node has no CNI results, a packet of an address in a pod range of the node waits
//     for a tree that contains the address. Other packets are released at once.
//
// A pod of another node can be unknown, too. If a worker denies a packet from or to an address
// in a pod range of the cluster, the worker moves the packet to the hold queue. The type Peers
// decides which packets a worker moves. Such a packet waits for a tree that allows it.
//
// To release a packet, the holder returns the verdict NF_REPEAT, and the kernel applies the
// rules to the packet again. A mark on the packet keeps the rules from sending the packet to
// the hold queue again. So the rules and the workers evaluate a released packet with the tree
// that is then in use.
package hold
