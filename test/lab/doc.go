// Package lab builds nodes and their pods from network namespaces, so that tests can send real
// packets. It needs Linux and root, but no other software.
//
//	+--------------------- outside ----------------------+
//	|  lo: any address that exists outside the nodes   |
//	|  node-1  169.254.0.1  fe80::1   node-2 ...       |
//	+-----|-----------------------------|--------------+
//	      | veth                        | veth
//	+-----|--------- node -----+   +----|---- node ----+
//	|  eth0  192.168.126.1     |   |  eth0             |
//	|        fd00:192:168:126::1   |                   |
//	|  pod-1 169.254.1.1 fe80::1   |  ...              |
//	|  pod-2 ...               |   |                   |
//	+---|-----------|----------+   +-------------------+
//	    | veth      | veth
//	+---|----+  +---|----+
//	|  eth0  |  |  eth0  |   pod: 10.244.1.2/32,
//	|  pod   |  |  pod   |        fd00:10:244:1::2/128
//	+--------+  +--------+
//
// All packets between hosts are routed, as with the CNI plugin ptp. Each host has addresses
// with full-length prefixes, and one default route through a link-local gateway. So packets
// between two pods always pass the forward hook of the nodes, even if both pods run on the same
// node.
//
// # Cleanup
//
// Namespaces have neither names nor bind mounts. A namespace exists only while the process that
// created the lab has a thread in the namespace or an open file descriptor of the namespace.
// The state directory is a tmpfs without a mount point. It exists only while its file
// descriptor is open. When a namespace is closed, the kernel kills the processes that were
// started in the namespace. So when the process that created a lab ends, for any reason, the
// kernel removes all resources of the lab. The machine's own network namespace is never
// changed.
package lab
