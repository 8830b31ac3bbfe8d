package topology

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/manifest"
)

func TestParsePort(t *testing.T) {
	for text, want := range map[string]Port{
		"80":      {flow.TCP, 80},
		"53/udp":  {flow.UDP, 53},
		"443/TCP": {flow.TCP, 443},
		"9/sctp":  {flow.SCTP, 9},
		"Ping":    Ping,
	} {
		if got, err := ParsePort(text); err != nil || got != want {
			t.Errorf("%q: %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "65536", "http", "80/", "80/ICMP", "ICMP", "80/ping", "-1", "UDP/53"} {
		if got, err := ParsePort(text); err == nil || !strings.Contains(err.Error(), "want") {
			t.Errorf("%q: %v, %v, want an error that describes valid ports", text, got, err)
		}
	}
}

func TestPortsOf(t *testing.T) {
	for name, test := range map[string]struct {
		yaml     string
		want     []string
		wantLeft int
	}{
		"nothing named": {
			yaml: "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c, image: i}]}",
			want: []string{"TCP 80", "ping"},
		},
		"policies and containers": {
			yaml: `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p}
spec:
  podSelector: {}
  ingress:
  - ports: [{port: 8080}, {port: web}, {protocol: UDP}, {port: 2000, endPort: 2010}]
  egress:
  - ports: [{port: 53, protocol: UDP}, {port: 3868, protocol: SCTP}]
---
apiVersion: v1
kind: Pod
metadata: {name: a}
spec: {containers: [{name: c, image: i, ports: [{name: web, containerPort: 80}]}]}`,
			want: []string{"TCP 80", "TCP 2000", "TCP 2010", "TCP 8080", "UDP 53", "SCTP 3868", "ping"},
		},
		"too many": {
			yaml: `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p}
spec:
  podSelector: {}
  ingress:
  - ports: [{port: 1}, {port: 2}, {port: 3}, {port: 4}, {port: 5}, {port: 6}, {port: 7}, {port: 8}, {port: 9}, {port: 10}]`,
			want:     []string{"TCP 1", "TCP 2", "TCP 3", "TCP 4", "TCP 5", "TCP 6", "TCP 7", "TCP 8", "ping"},
			wantLeft: 2,
		},
	} {
		t.Run(name, func(t *testing.T) {
			set, err := manifest.Read([]string{manifest.Stdin}, strings.NewReader(test.yaml))
			if err != nil {
				t.Fatal(err)
			}
			ports, left := PortsOf(set)
			if diff := cmp.Diff(test.want, Texts(ports)); diff != "" {
				t.Errorf("ports (-want +got):\n%s", diff)
			}
			if left != test.wantLeft {
				t.Errorf("%d ports left out, want %d", left, test.wantLeft)
			}
		})
	}
}
