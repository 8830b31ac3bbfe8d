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

// The second change of the example isolates default/dns and default/frontend
// while four connections are open. It must cut a download and a UDP exchange, and
// leave one of each alone.
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
		// An ingress policy allows the isolated pod to open connections and to
		// receive the replies.
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

// withOtherRules returns a program that installs the rules of another program and
// then runs sluice.
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

// runWithOtherRules runs the example until it ends.
func runWithOtherRules(t *testing.T, rules string) (r *wire.Report, page string) {
	t.Helper()
	set, err := example.Read()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	r, err = demo.Run(t.Context(), demo.Options{
		Title: example.Title, Set: set, Changes: demo.ExampleChanges(), Program: withOtherRules(t, rules), Out: &out,
	})
	if err != nil {
		t.Fatal(err)
	}
	return r, out.String()
}

// The demo must detect open connections that contradict the policies.
func TestWrongResultsOfOpenConnectionsAreMismatches(t *testing.T) {
	for name, test := range map[string]struct {
		rules string
		// wrong are the open connections that differ, by protocol and verdict.
		wrong []string
		names string
	}{
		// Every packet of an open connection is marked as accepted.
		"never cut": {
			rules: "ct state established ct mark set ct mark and 0xffffff9f or 0x20",
			wrong: []string{"TCP Deny", "UDP Deny"},
			names: "verdict Deny, result: continues",
		},
		// The rule drops packets only after the dataplane has acknowledged the change.
		"cut though allowed": {
			rules: "meta l4proto udp ct original packets > 150 drop",
			wrong: []string{"UDP Allow"},
			names: "verdict Allow, result: silent after",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, page := runWithOtherRules(t, test.rules)
			if r.Agree {
				t.Error("wire and policies agree")
			}
			round := r.Rounds[2]
			// More connections may differ: the other rules may also keep alive a
			// connection of the previous round. If a connection of this round has the
			// same source port, or is a ping, it can continue that one by chance.
			if round.Differ < len(test.wrong) {
				t.Errorf("%d connections differ, want at least %d", round.Differ, len(test.wrong))
			}
			for _, h := range round.Open {
				wrong := strings.Contains(strings.Join(test.wrong, ","), h.Protocol+" "+h.Verdict)
				if h.Agrees == wrong {
					t.Errorf("%s, %s: agrees: %v", h, h.Verdict, h.Agrees)
				}
				if wrong && !strings.Contains(page, fmt.Sprintf("! open while it changed: %s: %s", h, test.names)) {
					t.Errorf("the page does not name %s:\n%s", h, page)
				}
			}
		})
	}
}
