package agnhost_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/network-policy-api/conformance"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/test/agnhost"
	"github.com/sluicenet/sluice/test/lab"
)

func TestPorts(t *testing.T) {
	porter := []corev1.EnvVar{{Name: "SERVE_SCTP_PORT_9003"}, {Name: "SERVE_PORT_81"}, {Name: "OTHER"}}
	for command, want := range map[string]string{
		"/agnhost serve-hostname --tcp --http=false --port 80":                            "TCP/80",
		"/agnhost serve-hostname --udp --http=false --port 53":                            "UDP/53",
		"/agnhost serve-hostname":                                                         "TCP/9376",
		"/agnhost netexec --http-port 81 --udp-port 82 --udp-listen-addresses $(HOST_IP)": "TCP/81 UDP/82",
		"/agnhost porter":           "SCTP/9003 TCP/81",
		"/agnhost dns-suffix":       "error",
		"/agnhost netexec --tls=no": "error",
		"sleep 1":                   "error",
	} {
		got, err := agnhost.Ports(&corev1.Container{Command: []string{"/bin/bash", "-c", command}, Env: porter})
		text := "error"
		if err == nil {
			text = describe(got)
		}
		if text != want {
			t.Errorf("%s: %s (%v), want %s", command, text, err, want)
		}
	}
	if got, err := agnhost.Ports(&corev1.Container{}); err != nil || got != nil {
		t.Errorf("without a command: %v, %v, want no ports", got, err)
	}
}

// TestPortsOfTheConformanceSuite checks that Ports supports every container in the base
// manifests of the conformance tests.
func TestPortsOfTheConformanceSuite(t *testing.T) {
	content, err := conformance.Manifests.ReadFile("base/manifests.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// To make the manifests parsable, replace every placeholder with the same port.
	text := strings.NewReplacer("{{ index .HostNetworkPorts ", "3434", " }}", "").Replace(string(content))
	documents := yaml.NewYAMLOrJSONDecoder(bytes.NewBufferString(text), 4096)
	got := map[string]string{}
	for {
		var set appsv1.StatefulSet
		if err := documents.Decode(&set); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		var all []corev1.ContainerPort
		for i := range set.Spec.Template.Spec.Containers {
			found, err := agnhost.Ports(&set.Spec.Template.Spec.Containers[i])
			if err != nil {
				t.Error(err)
			}
			all = append(all, found...)
		}
		if set.Kind == "StatefulSet" {
			got[set.Name] = describe(all)
		}
	}
	const ports = "TCP/80 TCP/8080 UDP/5353 UDP/53 SCTP/9003 SCTP/9005"
	want := map[string]string{
		"harry-potter": ports, "draco-malfoy": ports, "cedric-diggory": ports, "luna-lovegood": ports,
		"centaur": "TCP/34340 TCP/34341 TCP/34343 UDP/34342 TCP/34345 UDP/34344 SCTP/34346 SCTP/34347",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ports (-want +got):\n%s", diff)
	}
}

func describe(ports []corev1.ContainerPort) string {
	var words []string
	for _, p := range ports {
		words = append(words, fmt.Sprintf("%s/%d", p.Protocol, p.ContainerPort))
	}
	return strings.Join(words, " ")
}

// TestConnect checks the exit code and the output of each result.
func TestConnect(t *testing.T) {
	l, err := lab.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	node, err := l.AddNode("node")
	if err != nil {
		t.Fatal(err)
	}
	client, err := node.AddPod("client")
	if err != nil {
		t.Fatal(err)
	}
	server, err := node.AddPod("server")
	if err != nil {
		t.Fatal(err)
	}
	address := server.Addresses()[0]
	for _, protocol := range []flow.Protocol{flow.TCP, flow.UDP, flow.SCTP} {
		if _, err := server.Serve(protocol, netip.AddrPortFrom(address, 80)); err != nil {
			t.Fatal(err)
		}
	}
	// The node silently drops packets to this address.
	blackhole := netip.MustParseAddr("192.0.2.1")
	drop := &netlink.Route{Type: unix.RTN_BLACKHOLE, Dst: &net.IPNet{IP: blackhole.AsSlice(), Mask: net.CIDRMask(32, 32)}}
	if err := node.Do(func() error { return netlink.RouteAdd(drop) }); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ arguments, want string }{
		{"--timeout=5s --protocol=tcp $IP:80", ""},
		{"--timeout=5s --protocol=udp $IP:80", ""},
		{"--timeout=5s --protocol=sctp $IP:80", ""},
		{"$IP:80", ""},
		{"--timeout=5s $IP:81", "REFUSED"},
		{"--timeout=5s --protocol=udp $IP:81", "REFUSED: "},
		{"--timeout=200ms --protocol=tcp $BLACKHOLE:80", "TIMEOUT"},
		{"--timeout=200ms --protocol=udp $BLACKHOLE:80", "TIMEOUT: "},
		{"--timeout=200ms --protocol=sctp $BLACKHOLE:80", "TIMEOUT"},
		{"--timeout=5s name:80", "DNS: "},
		{"--timeout=x $IP:80", "UNKNOWN: "},
		{"--timeout=5s", "UNKNOWN: "},
	} {
		arguments := strings.Fields(strings.NewReplacer("$IP", address.String(), "$BLACKHOLE", blackhole.String()).Replace(c.arguments))
		var stderr bytes.Buffer
		code := agnhost.Connect(t.Context(), client.Host, arguments, &stderr)
		if got := stderr.String(); !strings.HasPrefix(got, c.want) || (got == "") != (c.want == "") || (code == 0) != (c.want == "") {
			t.Errorf("connect %s: exit code %d, output %q, want %q", c.arguments, code, got, c.want)
		}
	}
}
