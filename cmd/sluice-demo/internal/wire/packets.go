package wire

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/sluicenet/sluice/cmd/sluice-demo/internal/topology"
	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/test/lab"
)

// Packets contains the number of packets that arrived at the node.
type Packets struct {
	// All is the number of packets that arrived at the node's interfaces.
	All uint64 `json:"all"`
	// Queued is the number of packets that the kernel passed to user space in an
	// NFQUEUE queue.
	Queued uint64 `json:"queued"`
}

// Minus returns the difference between the counts p and o. If o was counted before p, the
// result is the number of packets that arrived between the two counts.
func (p Packets) Minus(o Packets) Packets { return Packets{p.All - o.All, p.Queued - o.Queued} }

// CountPackets reads the kernel's packet counters for the node.
func CountPackets(node *lab.Node) (Packets, error) {
	all, err := node.Received()
	if err != nil {
		return Packets{}, err
	}
	n := uint64(0)
	err = node.Do(func() (err error) {
		n, err = queued("/proc/thread-self/net/netfilter/nfnetlink_queue")
		return err
	})
	return Packets{All: all, Queued: n}, err
}

// queued returns the total number of packets that the kernel has put into the NFQUEUE queues
// of a network namespace. The `path` parameter is the file nfnetlink_queue in /proc. The kernel
// numbers the packets in each queue from 1, so queued adds up the ID of the last packet in
// each queue. This ID is in the eighth column, id_sequence (seq_show in
// net/netfilter/nfnetlink_queue.c).
func queued(path string) (uint64, error) {
	const column = 7
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("counting queued packets: %w", err)
	}
	var total uint64
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) <= column {
			return 0, fmt.Errorf("counting queued packets: %s: %q has no id sequence", path, line)
		}
		n, err := strconv.ParseUint(fields[column], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("counting queued packets: %s: %w", path, err)
		}
		total += n
	}
	return total, nil
}

// Download contains the measurements for one long download over a connection to an isolated pod. A
// rule allows this connection. Some other connections to the pod are denied.
type Download struct {
	From    string        `json:"from"`
	To      string        `json:"to"`
	Port    string        `json:"port"`
	Bytes   uint64        `json:"bytes"`
	Took    time.Duration `json:"nanoseconds"`
	Packets Packets       `json:"packets"`
}

const (
	downloadSize = 64 << 20
	downloadTime = 10 * time.Second
)

// MeasureDownload downloads data over the first connection that a rule for an isolated pod
// allowed, and counts the queued packets. The count shows that the dataplane evaluates only
// the first packet. Without connection marks, it would have to evaluate every packet. If no
// rule allowed a connection, MeasureDownload returns nil.
func MeasureDownload(ctx context.Context, node *lab.Node, attempts []*Attempt) (*Download, error) {
	denies := map[*topology.End]bool{}
	for _, a := range attempts {
		if !Allows(&a.Ingress) {
			denies[a.To] = true
		}
	}
	for _, a := range attempts {
		if a.Ingress.Rule != nil && denies[a.To] && a.Result == lab.Connected && a.Port.Protocol == flow.TCP {
			return measure(ctx, node, a)
		}
	}
	return nil, nil
}

func measure(ctx context.Context, node *lab.Node, a *Attempt) (*Download, error) {
	before, err := CountPackets(node)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	if err := download(ctx, a); err != nil {
		return nil, fmt.Errorf("downloading from %s to %s: %w", a.To.Name, a.From.Name, err)
	}
	took := time.Since(start)
	after, err := CountPackets(node)
	if err != nil {
		return nil, err
	}
	return &Download{
		From: a.To.Name, To: a.From.Name, Port: a.Port.String(),
		Bytes: downloadSize, Took: took, Packets: after.Minus(before),
	}, nil
}

func download(ctx context.Context, a *Attempt) (err error) {
	ctx, cancel := context.WithTimeout(ctx, downloadTime)
	defer cancel()
	conn, err := a.From.Host.Dial(ctx, a.Port.Protocol, a.Src, netip.AddrPortFrom(a.Dst, a.Port.Number))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := conn.SetDeadline(time.Now().Add(downloadTime)); err != nil {
		return err
	}
	var greeting [1]byte
	if _, err := conn.Read(greeting[:]); err != nil {
		return err
	}
	return lab.Download(conn, downloadSize)
}
