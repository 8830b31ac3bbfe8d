package bench_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/ruleset"
)

// streamRequest requests a stream of large writes, for the duration `For`. The receiver replies
// with the number of bytes that it has received.
type streamRequest struct{ For time.Duration }

type streamed struct {
	Bytes int64
	Took  time.Duration
	// CPU is the processor time that the process at this end of the stream has used.
	CPU time.Duration
}

const chunk = 256 << 10

// sinkRole receives streams. For each stream, it replies with the number of received bytes and
// with the time from the first byte to the last byte.
func sinkRole(in *json.Decoder, out *json.Encoder) error {
	var config tcpConfig
	if err := in.Decode(&config); err != nil {
		return err
	}
	listener, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening socket: %w", err)
	}
	if err := unix.Bind(listener, sockaddr(config.Server, config.FirstPort)); err != nil {
		return fmt.Errorf("binding port %d: %w", config.FirstPort, err)
	}
	if err := unix.Listen(listener, 1); err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	if err := out.Encode(struct{}{}); err != nil {
		return err
	}
	buffer := make([]byte, chunk)
	for {
		if err := in.Decode(&streamRequest{}); err != nil {
			return err
		}
		fd, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC)
		if err != nil {
			return fmt.Errorf("accepting: %w", err)
		}
		s, begin := streamed{CPU: -cpuTime()}, time.Now()
		for {
			n, err := unix.Read(fd, buffer)
			if err != nil {
				return fmt.Errorf("reading: %w", err)
			}
			if n == 0 {
				break
			}
			s.Bytes += int64(n)
		}
		s.Took = time.Since(begin)
		s.CPU += cpuTime()
		_ = unix.Close(fd)
		if err := out.Encode(s); err != nil {
			return err
		}
	}
}

// sourceRole sends a stream for each request.
func sourceRole(in *json.Decoder, out *json.Encoder) error {
	var config tcpConfig
	if err := in.Decode(&config); err != nil {
		return err
	}
	if err := out.Encode(struct{}{}); err != nil {
		return err
	}
	buffer := make([]byte, chunk)
	for {
		var r streamRequest
		if err := in.Decode(&r); err != nil {
			return err
		}
		s, err := stream(config, r.For, buffer)
		if err != nil {
			return err
		}
		if err := out.Encode(s); err != nil {
			return err
		}
	}
}

func stream(config tcpConfig, duration time.Duration, buffer []byte) (streamed, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return streamed{}, fmt.Errorf("opening socket: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.Bind(fd, sockaddr(config.Client, 0)); err != nil {
		return streamed{}, fmt.Errorf("binding %s: %w", config.Client, err)
	}
	if err := unix.Connect(fd, sockaddr(config.Server, config.FirstPort)); err != nil {
		return streamed{}, fmt.Errorf("connecting: %w", err)
	}
	s, begin := streamed{CPU: -cpuTime()}, time.Now()
	for time.Since(begin) < duration {
		n, err := unix.Write(fd, buffer)
		if err != nil {
			return s, fmt.Errorf("writing: %w", err)
		}
		s.Bytes += int64(n)
	}
	if err := unix.Shutdown(fd, unix.SHUT_WR); err != nil {
		return s, fmt.Errorf("shutting down: %w", err)
	}
	// Wait until the receiver has received all bytes and has closed the connection.
	if _, err := unix.Read(fd, buffer); err != nil {
		return s, fmt.Errorf("waiting for the end: %w", err)
	}
	s.Took = time.Since(begin)
	s.CPU += cpuTime()
	return s, nil
}

// BenchmarkThroughput measures one allowed TCP stream to an isolated pod. For comparison, it
// measures two other streams on the same path. During the first of these streams, the node has
// no nftables table, so the kernel does not track connections. During the second, the node has
// a table with a single rule. This rule makes the kernel track connections, as on every node
// with Services. The benchmark also reports the processor time of both ends, which includes the
// work of the kernel on the path. On a busy machine, the processor time is more stable than the
// throughput.
func BenchmarkThroughput(b *testing.B) {
	s := newFixture(b)
	config := s.allowedTCP()
	server, err := s.node.AddPod("server", config.Server)
	if err != nil {
		b.Fatal(err)
	}
	if err := s.lab.AddAddress(config.Client); err != nil {
		b.Fatal(err)
	}
	sink := start(b, server.Host, "sink", config)
	source := start(b, s.lab.Outside, "source", config)
	start(b, s.node.Host, worker, serveConfig{connectQueue, s.state, s.config.Marks.Mask})
	names := [3]string{"sluice", "no-table", "tracking-only"}
	var rates, costs [len(names)][]float64
	request := streamRequest{For: time.Duration(choose(1000, 200)) * time.Millisecond}
	for round := range choose(15, 1) + 1 {
		for i := range names {
			way := (round + i) % len(names)
			s.inNode(ruleset.Uninstall)
			s.inNode(func() error { return track(way == 2) })
			if way == 0 {
				s.install(connectQueue)
			}
			var sent, received streamed
			sink.send(request)
			source.call(request, &sent)
			sink.receive(&received)
			if sent.Bytes != received.Bytes {
				b.Fatalf("%d bytes were sent and %d received", sent.Bytes, received.Bytes)
			}
			if round > 0 {
				rates[way] = append(rates[way], 8*float64(received.Bytes)/received.Took.Seconds()/1e9)
				costs[way] = append(costs[way], float64((sent.CPU+received.CPU).Nanoseconds())/float64(received.Bytes)*1024)
			}
		}
	}
	for way, name := range names {
		report(b, name, map[string]float64{
			"Gbit/s":         median(rates[way]),
			"x-no-table":     medianRatio(rates[way], rates[1]),
			"cpu-ns/KiB":     median(costs[way]),
			"x-no-table-cpu": medianRatio(costs[way], costs[1]),
		})
	}
}

// track adds or removes a table with one rule, depending on the `wanted` parameter. The rule
// matches on the state of connections, so the kernel tracks connections while the table exists.
func track(wanted bool) error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	t := c.AddTable(&nftables.Table{Name: "track", Family: nftables.TableFamilyINet})
	if !wanted {
		c.DelTable(t)
		return c.Flush()
	}
	chain := c.AddChain(&nftables.Chain{
		Table: t, Name: "forward", Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter,
	})
	c.AddRule(&nftables.Rule{Table: t, Chain: chain, Exprs: []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
		&expr.Verdict{Kind: expr.VerdictAccept},
	}})
	return c.Flush()
}
