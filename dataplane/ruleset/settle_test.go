package ruleset_test

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/sluicenet/sluice/dataplane/ruleset"
	"github.com/sluicenet/sluice/test/lab"
)

// otherVerdict is a table with one chain. The chain marks packets of established connections to
// port 8080 with the verdict Either, which means that policies may allow only the reverse
// direction of the flow. The chain must run between Sluice's chains `output` and `output-settle`.
// It has the same priority as the chain `output`. If two chains have the same priority, the kernel
// runs the newer chain first, so the test adds this chain before Sluice's chains.
const otherVerdict = `table inet verdict {
	chain output {
		type filter hook output priority 10; policy accept;
		ct state established ct direction original tcp dport 8080 meta mark set meta mark | 0x60
	}
}
`

// The chain `settle` accepts a packet with the verdict Either only if connection tracking has seen
// no earlier packet of the connection. It does not accept a packet of an established connection
// with this verdict.
func TestSettleAcceptsTheOtherOrientationOnlyInMidStream(t *testing.T) {
	h := host(t)
	nft(t, h, otherVerdict, "-f", "-")
	install(t, h, config(t, ruleset.Reject))
	for _, address := range []string{"127.0.0.1:8080", "127.0.0.1:8081"} {
		err := roundTrip(t, h, address)
		if accepted, want := err == nil, address == "127.0.0.1:8081"; accepted != want {
			t.Errorf("%s: accepted %t, want %t: %v", address, accepted, want, err)
		}
	}
}

// roundTrip opens a connection inside the host, sends a byte and reads the byte back. It
// returns the first error. A TCP reset can make any of these steps fail.
func roundTrip(t *testing.T, h *lab.Host, address string) error {
	t.Helper()
	var server net.Listener
	do(t, h, func() (err error) {
		server, err = net.Listen("tcp", address)
		return err
	})
	t.Cleanup(func() { _ = server.Close() })
	go echo(server)
	var client net.Conn
	if err := h.Do(func() (err error) {
		client, err = net.DialTimeout("tcp", address, 5*time.Second)
		return err
	}); err != nil {
		return err
	}
	t.Cleanup(func() { _ = client.Close() })
	if err := client.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Write([]byte{1}); err != nil {
		return err
	}
	_, err := io.ReadFull(client, make([]byte, 1))
	return err
}

func echo(server net.Listener) {
	for {
		conn, err := server.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			_, _ = io.Copy(conn, conn)
		}()
	}
}
