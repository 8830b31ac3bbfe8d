// Package lab builds nodes and their pods out of network namespaces, so that
// real packets can be judged on a machine that has nothing but Linux and root.
//
//	+--------------------- world ----------------------+
//	|  lo: any address that is to exist outside        |
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
// Everything is routed: each host has full-length addresses and one default
// route by a link-local gateway, as the CNI plugin ptp does it. So every packet
// of a pod passes its node's forward hook, also between two pods of one node.
//
// # Nothing is left behind
//
// A namespace here has no name and no bind mount: it lives by the file
// descriptors and threads of the process that made it, and so does the state
// directory (a tmpfs that is mounted nowhere). Processes started in a namespace
// die with it. When the process that made a lab ends, by whatever way, the
// kernel takes all of it back. The machine's own network namespace is never
// touched.
package lab
