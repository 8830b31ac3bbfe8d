package ruleset

import (
	"errors"
	"fmt"
	"os"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/internal/netlink"
)

// eventSize is the size in bytes of a receive buffer for events. The kernel sends at most
// one page of events at once (NLMSG_GOODSIZE, at most 8 KiB).
const eventSize = 32 << 10

// Watcher reports changes that other programs make to the tables of Sluice.
type Watcher struct {
	socket *netlink.Socket
	table  *Table
	buffer []byte
}

// Watch returns a watcher in the network namespace of the calling thread. The watcher reports
// all changes that occur after Watch has returned.
func (t *Table) Watch() (*Watcher, error) {
	socket, err := netlink.Open(unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("watching rules: %w", err)
	}
	if err := socket.Join(unix.NFNLGRP_NFTABLES); err != nil {
		return nil, errors.Join(fmt.Errorf("watching rules: %w", err), socket.Close())
	}
	return &Watcher{socket: socket, table: t, buffer: make([]byte, eventSize)}, nil
}

// Next waits until another program has changed a table of Sluice, and returns true. It also
// returns true if the kernel dropped events, because a dropped event may have reported a
// change. After Close, Next returns false and a nil error. If Next cannot receive any more
// events, it returns false and an error.
func (w *Watcher) Next() (bool, error) {
	for {
		n, err := w.socket.Receive(w.buffer)
		switch {
		case errors.Is(err, os.ErrClosed):
			return false, nil
		case errors.Is(err, unix.ENOBUFS):
			return true, nil
		case err != nil:
			return false, fmt.Errorf("watching rules: %w", err)
		}
		if w.table.changedBy(w.buffer[:n]) {
			return true, nil
		}
	}
}

// Close makes Next return false.
func (w *Watcher) Close() error {
	if err := w.socket.Close(); err != nil {
		return fmt.Errorf("closing the watch of rules: %w", err)
	}
	return nil
}

// changedBy reports whether a datagram contains an event about a change that another program
// has made to a table of Sluice. It also returns true if the datagram is malformed.
func (t *Table) changedBy(datagram []byte) bool {
	events := netlink.ReadMessages(datagram)
	for events.Next() {
		if t.concerns(events.Header, events.Payload) {
			return true
		}
	}
	return events.Err() != nil
}

// concerns reports whether an event is about a table of Sluice and was caused by another
// program. The port in the header identifies the socket that requested the change. For every
// type of object, the name of the table is in the attribute with number 1 (NFTA_TABLE_NAME).
func (t *Table) concerns(h netlink.Header, payload []byte) bool {
	if h.Port == t.port || h.Type>>8 != unix.NFNL_SUBSYS_NFTABLES || h.Type&0xff == unix.NFT_MSG_NEWGEN {
		return false
	}
	if len(payload) < netlink.NetfilterHeaderSize {
		return false
	}
	if family := nftables.TableFamily(payload[0]); family != nftables.TableFamilyINet && family != nftables.TableFamilyBridge {
		return false
	}
	attributes := netlink.ReadAttributes(payload[netlink.NetfilterHeaderSize:])
	for attributes.Next() {
		if attributes.Type == unix.NFTA_TABLE_NAME {
			return string(attributes.Value) == tableName+"\x00"
		}
	}
	return false
}
