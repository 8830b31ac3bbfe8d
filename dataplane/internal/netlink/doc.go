// Package netlink implements the netlink protocol. It encodes and decodes messages and
// attributes, and provides sockets to communicate with the kernel.
//
// The connection tracking table can have a million entries, so messages and attributes are
// decoded in place, without copies and without allocations. Slices that a reader returns refer
// to the memory of the buffer that is read. They are valid until the buffer is used again.
//
//	message                     attribute
//	+--------------------+      +------------+----------+
//	| length      uint32 |      | length     |   uint16 |  length includes
//	| type        uint16 |      | type       |   uint16 |  the header, not
//	| flags       uint16 |      +------------+----------+  the padding
//	| sequence    uint32 |      | value, padded to      |
//	| port        uint32 |      | a multiple of 4 bytes |
//	+--------------------+      +-----------------------+
//	| payload, padded to |
//	| a multiple of 4    |
//	+--------------------+
//
// Integers in both headers have the byte order of the machine. Integers in netfilter
// attributes have network byte order.
package netlink
