package ruleset

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Watcher hears of changes to the table that a Table did not make.
type Watcher struct {
	conn   *netlink.Conn
	table  *Table
	closed atomic.Bool
}

// Watch listens in the network namespace of the calling thread. Changes from
// now on are heard.
func (t *Table) Watch() (*Watcher, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, fmt.Errorf("listening for changes of rules: %w", err)
	}
	if err := conn.JoinGroup(unix.NFNLGRP_NFTABLES); err != nil {
		return nil, errors.Join(fmt.Errorf("listening for changes of rules: %w", err), conn.Close())
	}
	return &Watcher{conn: conn, table: t}, nil
}

// Next waits until somebody else has changed the table, or may have: when
// events came faster than they were read, nobody knows. It returns false once
// the watcher is closed or can hear no more, with the reason of the latter.
func (w *Watcher) Next() (bool, error) {
	for {
		messages, err := w.conn.Receive()
		switch {
		case w.closed.Load():
			return false, nil
		case errors.Is(err, unix.ENOBUFS):
			return true, nil
		case err != nil:
			return false, fmt.Errorf("listening for changes of rules: %w", err)
		}
		for _, m := range messages {
			if w.table.concerns(m) {
				return true, nil
			}
		}
	}
}

// Close ends Next.
func (w *Watcher) Close() error {
	w.closed.Store(true)
	if err := w.conn.Close(); err != nil {
		return fmt.Errorf("closing events of rules: %w", err)
	}
	return nil
}

// concerns says whether an event is about our table and of somebody else. The
// first attribute of every object is its table's name; the header tells whose
// socket asked for the change.
func (t *Table) concerns(m netlink.Message) bool {
	const generic = 4 // struct nfgenmsg
	if m.Header.PID == t.port || uint16(m.Header.Type)>>8 != unix.NFNL_SUBSYS_NFTABLES {
		return false
	}
	if uint16(m.Header.Type)&0xff == unix.NFT_MSG_NEWGEN || len(m.Data) < generic || m.Data[0] != uint8(nftables.TableFamilyINet) {
		return false
	}
	attributes, err := netlink.NewAttributeDecoder(m.Data[generic:])
	if err != nil {
		return false
	}
	attributes.ByteOrder = binary.BigEndian
	for attributes.Next() {
		if attributes.Type() == unix.NFTA_TABLE_NAME {
			return attributes.String() == tableName
		}
	}
	return false
}
