// Package lab builds nodes and their pods out of network namespaces, so that tests
// can send real packets. It needs only Linux and root.
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
// Everything is routed, as with the CNI plugin ptp: each host has addresses with
// full-length prefixes and one default route through a link-local gateway. So packets
// between two pods always pass the forward hook of the nodes, even if both pods run on
// the same node.
//
// # Nothing is left behind
//
// The namespaces have no names and no bind mounts. A namespace exists only as long as
// the process that created the lab has a thread in the namespace or a file descriptor
// of it. The state directory is a tmpfs that is mounted nowhere, so it exists only as
// long as its file descriptor. The kernel kills processes that were started in a
// namespace when the namespace is closed. So when the process that created a lab ends,
// for any reason, the kernel removes everything. The machine's own network namespace is
// never changed.
package lab
