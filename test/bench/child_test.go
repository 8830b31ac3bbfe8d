package bench_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"github.com/sluicenet/sluice/test/lab"
	"github.com/sluicenet/sluice/test/process"
)

// role reads what it is to do as JSON, line by line, answers each line with
// one, and ends with its input.
type role func(in *json.Decoder, out *json.Encoder) error

func TestMain(m *testing.M) {
	name := process.Role()
	if name == "" {
		os.Exit(m.Run())
	}
	if name == profiledWorker {
		// Before anything allocates.
		runtime.MemProfileRate = 1
	}
	roles := map[string]role{
		worker:         serveRole(serveTree),
		profiledWorker: serveRole(serveTree),
		bareLoop:       serveRole(serveBare),
		plainLoop:      serveRole(servePlain),
		"send":         sendRole,
		"accept":       acceptRole,
		"connect":      connectRole,
		"sink":         sinkRole,
		"source":       sourceRole,
		"engine":       engineRole,
	}
	if err := roles[name](json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)); err != nil && !errors.Is(err, io.EOF) {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

// child is a process that plays a role in the namespace of a host.
type child struct {
	b   *testing.B
	cmd *exec.Cmd
	in  io.WriteCloser
	out *json.Decoder
}

// start starts a child, gives it its configuration and waits until it is ready.
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
	c.ask(config, &struct{}{})
	return c
}

// ask sends a line and waits for the answer.
func (c *child) ask(request, answer any) {
	c.b.Helper()
	c.tell(request)
	c.hear(answer)
}

func (c *child) tell(request any) {
	c.b.Helper()
	if err := json.NewEncoder(c.in).Encode(request); err != nil {
		c.b.Fatal(err)
	}
}

func (c *child) hear(answer any) {
	c.b.Helper()
	if err := c.out.Decode(answer); err != nil {
		c.b.Fatal(err)
	}
}

// end closes the child's input and waits for it.
func (c *child) end() {
	_ = c.in.Close()
	if err := c.cmd.Wait(); err != nil {
		c.b.Errorf("child: %v", err)
	}
}
