package demo

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/test/lab"
)

// Packets counts what came to the node.
type Packets struct {
	// All are the packets that came over the node's links.
	All uint64 `json:"all"`
	// Judged are those that the kernel handed to user space.
	Judged uint64 `json:"judged"`
}

func (p Packets) minus(o Packets) Packets { return Packets{p.All - o.All, p.Judged - o.Judged} }

// packets reads the kernel's own counters.
func packets(node *lab.Node) (Packets, error) {
	all, err := node.Received()
	if err != nil {
		return Packets{}, err
	}
	judged := uint64(0)
	err = node.Do(func() (err error) {
		judged, err = queued("/proc/thread-self/net/netfilter/nfnetlink_queue")
		return err
	})
	return Packets{All: all, Judged: judged}, err
}

// queued adds up the packet ids of all queues of a namespace: the eighth column,
// id_sequence (seq_show, net/netfilter/nfnetlink_queue.c). Ids count from 1.
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

// Download is one long connection that a rule lets into a pod which refuses
// others.
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

// download moves bytes over one connection whose packets a dataplane without
// connection marks would all have to judge. There may be no such cell.
func download(ctx context.Context, node *lab.Node, cells []*Cell) (*Download, error) {
	choosy := map[*End]bool{}
	for _, c := range cells {
		if !c.Ingress.allows() {
			choosy[c.To] = true
		}
	}
	for _, c := range cells {
		if c.Ingress.Rule == nil || !choosy[c.To] || c.Wire != lab.Connected || c.Port.Protocol != flow.TCP {
			continue
		}
		before, err := packets(node)
		if err != nil {
			return nil, err
		}
		start := time.Now()
		if err := fetch(ctx, c); err != nil {
			return nil, fmt.Errorf("downloading from %s to %s: %w", c.To.Name, c.From.Name, err)
		}
		took := time.Since(start)
		after, err := packets(node)
		if err != nil {
			return nil, err
		}
		return &Download{
			From: c.To.Name, To: c.From.Name, Port: c.Port.String(),
			Bytes: downloadSize, Took: took, Packets: after.minus(before),
		}, nil
	}
	return nil, nil
}

func fetch(ctx context.Context, c *Cell) (err error) {
	ctx, cancel := context.WithTimeout(ctx, downloadTime)
	defer cancel()
	conn, err := c.From.host.Dial(ctx, c.Port.Protocol, c.Src, netip.AddrPortFrom(c.Dst, c.Port.Number))
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
