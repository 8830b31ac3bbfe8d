package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluicenet/sluice/cmd/sluice-demo/example"
	"github.com/sluicenet/sluice/cmd/sluice-demo/internal/demo"
	"github.com/sluicenet/sluice/cmd/sluice-demo/internal/wire"
)

// The second change of the example isolates default/dns and default/frontend while four
// connections are open. The change must cut one of two downloads and one of two UDP
// exchanges. It must not affect the other download and the other UDP exchange.
func TestOpenConnectionsUnderAChange(t *testing.T) {
	r := runJSON(t, "")
	if open := r.Rounds[1].Open; len(open) != 0 {
		t.Errorf("during a change that denies nothing, %v were open", open)
	}
	round := r.Rounds[2]
	found := map[string]int{}
	for _, h := range round.Open {
		found[h.Protocol+" "+h.Verdict]++
		if !h.Agrees || h.Continues != (h.Verdict == "Allow") {
			t.Errorf("%s: %s, continues: %v", h, h.Verdict, h.Continues)
		}
		if (h.Last == nil) != h.Continues || (h.Pause == nil) == h.Continues {
			t.Errorf("%s: want either the time of its end or its longest pause", h)
		}
		// The new policy affects only ingress. The isolated pod can still open connections to
		// other pods and receive replies.
		isolated := strings.HasPrefix(h.To, "default/")
		if isolated == h.Continues {
			t.Errorf("%s continues: %v", h, h.Continues)
		}
	}
	for _, want := range []string{"TCP Deny", "UDP Deny", "TCP Allow", "UDP Allow"} {
		if found[want] != 1 {
			t.Errorf("open connections %v, want one of %s", found, want)
		}
	}
}

// withOtherRules returns the path of a script that installs additional nftables rules and
// then runs sluice. The rules simulate another program that modifies packets or marks.
func withOtherRules(t *testing.T, rules string) (program string) {
	t.Helper()
	program = filepath.Join(t.TempDir(), "dataplane")
	script := fmt.Sprintf(`#!/bin/sh
set -e
echo 1 > /proc/sys/net/netfilter/nf_conntrack_acct
nft -f - <<'RULES'
table inet other {
	chain forward {
		type filter hook forward priority 0;
		%s
	}
}
RULES
exec %s "$@"
`, rules, sluice)
	if err := os.WriteFile(program, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return program
}

// runWithOtherRules runs the example with additional nftables rules. It returns the report
// and the text output.
func runWithOtherRules(t *testing.T, rules string) (r *wire.Report, page string) {
	t.Helper()
	set, err := example.NetworkPolicies.Read()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	r, err = demo.Run(t.Context(), demo.Options{
		Title: example.NetworkPolicies.Title, Set: set, Changes: demo.ExampleChanges(), Program: withOtherRules(t, rules), Out: &out,
	})
	if err != nil {
		t.Fatal(err)
	}
	return r, out.String()
}

// If the result for an open connection contradicts the policies, the demo must report a
// difference.
func TestWrongResultsOfOpenConnectionsAreMismatches(t *testing.T) {
	for name, test := range map[string]struct {
		rules string
		// wrong contains the open connections whose results must contradict the policies. Each
		// connection is described by its protocol and its verdict under the new policies, such as
		// "TCP Deny". For each of these connections, the page must contain the text `names`.
		wrong []string
		names string
	}{
		// For each packet of an open connection, this rule marks the connection as accepted. The
		// dataplane therefore cannot cut a connection that the new policies deny.
		"never cut": {
			rules: "ct state established ct mark set ct mark and 0xffffff9f or 0x20",
			wrong: []string{"TCP Deny", "UDP Deny"},
			names: "verdict Deny, result: continues",
		},
		// This rule drops every packet of a connection after the first 150. A connection sends
		// fewer packets than that before the dataplane acknowledges the change, so the rule starts
		// to drop packets after the acknowledgement.
		"cut though allowed": {
			rules: "meta l4proto udp ct original packets > 150 drop",
			wrong: []string{"UDP Allow"},
			names: "verdict Allow, result: last data after",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, page := runWithOtherRules(t, test.rules)
			if r.Agree {
				t.Error("results and policies agree")
			}
			round := r.Rounds[2]
			// The additional rules can also keep connections from the previous round open. A new
			// ping then continues the old ping. A new connection continues an old connection if
			// both happen to have the same source port. Connections that are not in test.wrong can
			// therefore have results that contradict the policies, too.
			if round.Differ < len(test.wrong) {
				t.Errorf("%d connections differ, want at least %d", round.Differ, len(test.wrong))
			}
			for _, h := range round.Open {
				wrong := strings.Contains(strings.Join(test.wrong, ","), h.Protocol+" "+h.Verdict)
				if h.Agrees == wrong {
					t.Errorf("%s, %s: agrees: %v", h, h.Verdict, h.Agrees)
				}
				if wrong && !strings.Contains(page, fmt.Sprintf("! open during the change: %s: %s", h, test.names)) {
					t.Errorf("the page does not name %s:\n%s", h, page)
				}
			}
		})
	}
}
