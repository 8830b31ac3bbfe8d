package labcluster

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/test/cluster"
	"github.com/sluicenet/sluice/test/lab"
	"github.com/sluicenet/sluice/test/reference"
)

const (
	// allowedTime is the maximum time that an allowed connection may take.
	allowedTime = 10 * time.Second
	// deniedTime is the time after which a connection attempt without a reply counts as denied.
	// Connection attempts that are rejected fail earlier.
	deniedTime = 500 * time.Millisecond
	// probesAtOnce is the maximum number of probes that run at the same time.
	probesAtOnce = 128
)

// End is a source or destination of connections in a table.
type End struct {
	Name string
	Host *lab.Host
	// Addresses contains the addresses of this source or destination. Each connection from
	// this source is bound to one of these addresses, so the kernel does not choose the
	// source address.
	Addresses []netip.Addr
}

// Target is the protocol and the destination port of a connection.
type Target struct {
	// Protocol is TCP, UDP, SCTP or ICMP. Between IPv6 addresses, ICMP means ICMPv6.
	Protocol flow.Protocol
	Port     uint16
}

// String returns the target as text, such as TCP/80.
func (t Target) String() string {
	if !t.Protocol.HasPorts() {
		return t.Protocol.String()
	}
	return fmt.Sprintf("%s/%d", t.Protocol, t.Port)
}

// Cell describes one connection. It contains the verdict of test/reference, and the result of
// the attempt to open the connection.
type Cell struct {
	From, To string
	Target   Target
	Flow     flow.Flow
	Want     bool
	Got      lab.Result
}

// Agrees reports whether the result of the connection attempt agrees with the verdict.
func (c *Cell) Agrees() bool { return c.Want == (c.Got == lab.Connected) }

// String returns a description of the cell on a single line.
func (c *Cell) String() string {
	word := "denied"
	if c.Want {
		word = "allowed"
	}
	return fmt.Sprintf("%s to %s %s (%s): the verdict is %s, the result is %s", c.From, c.To, c.Target, c.Flow, word, c.Got)
}

// Table contains the connections from each end to every end, including the end itself.
type Table []Cell

// Differences returns a description of each cell whose result does not agree with its verdict.
func (t Table) Differences() []string {
	var out []string
	for i := range t {
		if !t[i].Agrees() {
			out = append(out, t[i].String())
		}
	}
	return out
}

// Got returns the result of the connection from one end to another. If the results over IPv4 and
// IPv6 differ, or if the table does not contain the connection, the second result, `same`, is
// false.
func (t Table) Got(from, to string, target Target) (result lab.Result, same bool) {
	same = true
	found := false
	for i := range t {
		if c := &t[i]; c.From == from && c.To == to && c.Target == target {
			same = same && (!found || c.Got == result)
			found, result = true, c.Got
		}
	}
	return result, found && same
}

// End returns a pod as the source or destination of a flow. The pod must run.
func (c *Cluster) End(namespace, name string) (End, error) {
	pod := c.Pod(namespace, name)
	if pod == nil {
		return End{}, fmt.Errorf("pod %s/%s does not run", namespace, name)
	}
	return End{Name: namespace + "/" + name, Host: pod.Host, Addresses: pod.Addresses()}, nil
}

// Objects returns all objects in the API server on which a verdict can depend.
func (c *Cluster) Objects(ctx context.Context) (cluster.Objects, error) {
	var out cluster.Objects
	var namespaces corev1.NamespaceList
	var nodes corev1.NodeList
	var pods corev1.PodList
	var policies networkingv1.NetworkPolicyList
	err := errors.Join(c.client.List(ctx, &namespaces), c.client.List(ctx, &nodes), c.client.List(ctx, &pods), c.client.List(ctx, &policies))
	if err != nil {
		return out, fmt.Errorf("listing objects: %w", err)
	}
	for i := range namespaces.Items {
		out.Namespaces = append(out.Namespaces, &namespaces.Items[i])
	}
	for i := range nodes.Items {
		out.Nodes = append(out.Nodes, &nodes.Items[i])
	}
	for i := range pods.Items {
		out.Pods = append(out.Pods, &pods.Items[i])
	}
	for i := range policies.Items {
		out.Policies = append(out.Policies, &policies.Items[i])
	}
	return out, nil
}

// Plan returns a table with the verdict for each connection. The table contains no results yet.
func (c *Cluster) Plan(ctx context.Context, ends []End, targets []Target) (Table, error) {
	objects, err := c.Objects(ctx)
	if err != nil {
		return nil, err
	}
	var out Table
	for _, from := range ends {
		for _, to := range ends {
			for _, target := range targets {
				for _, f := range flows(from, to, target) {
					want := reference.Evaluate(objects, f).Verdict == rule.Allow
					out = append(out, Cell{From: from.Name, To: to.Name, Target: target, Flow: f, Want: want})
				}
			}
		}
	}
	return out, nil
}

// flows returns one flow for each pair of a source and a destination address that have the same
// family.
func flows(from, to End, target Target) []flow.Flow {
	var out []flow.Flow
	for _, src := range from.Addresses {
		for _, dst := range to.Addresses {
			if src.Is4() != dst.Is4() {
				continue
			}
			f := flow.Flow{Src: src, Dst: dst, Protocol: target.Protocol}
			if f.Protocol == flow.ICMP && src.Is6() {
				f.Protocol = flow.ICMPv6
			}
			if f.Protocol.HasPorts() {
				f.SrcPort, f.DstPort = 40000, target.Port
			}
			out = append(out, f)
		}
	}
	return out
}

// Table opens all connections between the ends, and returns a table with the verdicts and
// results.
func (c *Cluster) Table(ctx context.Context, ends []End, targets []Target) (Table, error) {
	table, err := c.Plan(ctx, ends, targets)
	if err != nil {
		return nil, err
	}
	return table, c.Open(ctx, table, ends)
}

// Open opens all connections of a table and stores the results in the table. It replaces the
// results of an earlier call.
func (*Cluster) Open(ctx context.Context, table Table, ends []End) error {
	hosts := map[string]*lab.Host{}
	for _, e := range ends {
		hosts[e.Name] = e.Host
	}
	return table.probe(ctx, hosts)
}

// probe opens all connections of a table. SCTP probes use raw sockets. If two raw sockets of a host
// send packets to the same address, each socket receives the ICMP errors for both. Therefore, the
// SCTP targets are probed one after another.
func (t Table) probe(ctx context.Context, hosts map[string]*lab.Host) error {
	var waves []Target
	wave := map[Target][]*Cell{}
	for i := range t {
		c := &t[i]
		key := Target{}
		if c.Target.Protocol == flow.SCTP {
			key = c.Target
		}
		if wave[key] == nil {
			waves = append(waves, key)
		}
		wave[key] = append(wave[key], c)
	}
	var errs []error
	for _, key := range waves {
		errs = append(errs, probeAll(ctx, hosts, wave[key]))
	}
	return errors.Join(errs...)
}

func probeAll(ctx context.Context, hosts map[string]*lab.Host, cells []*Cell) error {
	free := make(chan struct{}, probesAtOnce)
	errs := make([]error, len(cells))
	var all sync.WaitGroup
	for i, c := range cells {
		free <- struct{}{}
		all.Go(func() {
			defer func() { <-free }()
			timeout := deniedTime
			if c.Want {
				timeout = allowedTime
			}
			c.Got, errs[i] = hosts[c.From].Probe(ctx, c.Flow.Protocol, c.Flow.Src, netip.AddrPortFrom(c.Flow.Dst, c.Flow.DstPort), timeout)
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// String formats the results as one matrix for each target. If a result does not agree with its
// verdict, an exclamation mark follows the result.
func (t Table) String() string {
	var names []string
	blocks := map[string]map[[2]string]string{}
	var order []string
	for i := range t {
		c := &t[i]
		for _, n := range []string{c.From, c.To} {
			if !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
		family := "IPv4"
		if c.Flow.Src.Is6() {
			family = "IPv6"
		}
		block := c.Target.String() + " " + family
		if blocks[block] == nil {
			blocks[block] = map[[2]string]string{}
			order = append(order, block)
		}
		sign := "✗"
		if c.Got == lab.Connected {
			sign = "✓"
		}
		if !c.Agrees() {
			sign += "!"
		}
		blocks[block][[2]string{c.From, c.To}] = sign
	}
	var out strings.Builder
	for _, block := range order {
		fmt.Fprintf(&out, "%s\n", block)
		for _, from := range names {
			fmt.Fprintf(&out, "  %-24s", from)
			for _, to := range names {
				fmt.Fprintf(&out, " %-2s", blocks[block][[2]string{from, to}])
			}
			out.WriteByte('\n')
		}
	}
	return out.String()
}
