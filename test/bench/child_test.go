package bench_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"

	"github.com/sluicenet/sluice/test/lab"
	"github.com/sluicenet/sluice/test/process"
)

// role is a function that a child process runs. The function reads requests, one JSON object
// per line, and replies to each request with one line. When the input ends, the function
// returns.
type role func(in *json.Decoder, out *json.Encoder) error

func TestMain(m *testing.M) {
	name := process.Role()
	if name == "" {
		os.Exit(m.Run())
	}
	roles := map[string]role{
		worker:    serveRole(serveTree),
		bareLoop:  serveRole(serveBare),
		plainLoop: serveRole(servePlain),
		"send":    sendRole,
		"accept":  acceptRole,
		"connect": connectRole,
		"sink":    sinkRole,
		"source":  sourceRole,
		"engine":  engineRole,
		"flood":   floodRole,
	}
	if err := roles[name](json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)); err != nil && !errors.Is(err, io.EOF) {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

// child is a process in the network namespace of a host. The process runs a role.
type child struct {
	b   *testing.B
	cmd *exec.Cmd
	in  io.WriteCloser
	out *json.Decoder
}

// start starts a child process, sends the configuration to it, and waits until it is ready.
func start(b *testing.B, host *lab.Host, name string, config any) *child {
	b.Helper()
	c := &child{b: b, cmd: process.Self(name)}
	c.cmd.Stderr = os.Stderr
	in, err := c.cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	c.in, c.out = in, json.NewDecoder(out)
	if err := host.Start(c.cmd); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.end)
	c.call(config, &struct{}{})
	return c
}

// call sends a request to the child process and waits for the reply.
func (c *child) call(request, reply any) {
	c.b.Helper()
	c.send(request)
	c.receive(reply)
}

func (c *child) send(request any) {
	c.b.Helper()
	if err := json.NewEncoder(c.in).Encode(request); err != nil {
		c.b.Fatal(err)
	}
}

func (c *child) receive(reply any) {
	c.b.Helper()
	if err := c.out.Decode(reply); err != nil {
		c.b.Fatal(err)
	}
}

// end closes the input of the child process and waits until this process has ended.
func (c *child) end() {
	if c.cmd.ProcessState != nil {
		return // The process has ended.
	}
	_ = c.in.Close()
	if err := c.cmd.Wait(); err != nil {
		c.b.Errorf("child: %v", err)
	}
}
