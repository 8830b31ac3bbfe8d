// Package netlink reads and writes the netlink protocol: messages, attributes,
// and sockets that receive from the kernel.
//
// Messages and attributes are read in place, without a copy and without an
// allocation, because a table of connections has up to a million entries. Slices
// that a reader returns point into the buffer that it reads, and are valid until
// the buffer is used again.
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
// Integers of both headers are in the machine's byte order. Netfilter's
// attributes hold integers in network byte order.
package netlink
