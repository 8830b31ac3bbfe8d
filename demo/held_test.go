package demo_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluicenet/sluice/demo"
)

// The example's second change isolates default/dns and default/frontend, under
// a download and an exchange that it must cut and one of each that it must not.
func TestOpenConnectionsUnderAChange(t *testing.T) {
	r := runJSON(t, "")
	if held := r.Rounds[1].Held; len(held) != 0 {
		t.Errorf("a change that cuts nothing holds %v", held)
	}
	round := r.Rounds[2]
	found := map[string]int{}
	for _, h := range round.Held {
		found[h.Protocol+" "+h.Verdict]++
		if !h.Agrees || h.GoesOn != (h.Verdict == "Allow") {
			t.Errorf("%s: %s, goes on: %v", h, h.Verdict, h.GoesOn)
		}
		if (h.Last == nil) != h.GoesOn || (h.Pause == nil) == h.GoesOn {
			t.Errorf("%s: want either when it ended or its longest pause", h)
		}
		// The page: what the policy isolates may open connections still, and
		// gets their answers.
		isolated := strings.HasPrefix(h.To, "default/")
		if isolated == h.GoesOn {
			t.Errorf("%s goes on: %v", h, h.GoesOn)
		}
	}
	for _, want := range []string{"TCP Deny", "UDP Deny", "TCP Allow", "UDP Allow"} {
		if found[want] != 1 {
			t.Errorf("held %v, want one of %s", found, want)
		}
	}
}

// meddled is a dataplane that starts after somebody else's rules are in place.
func meddled(t *testing.T, rules string) (program string) {
	t.Helper()
	program = filepath.Join(t.TempDir(), "dataplane")
	script := fmt.Sprintf(`#!/bin/sh
set -e
echo 1 > /proc/sys/net/netfilter/nf_conntrack_acct
nft -f - <<'RULES'
table inet meddler {
	chain forward {
		type filter hook forward priority 0;
		%s
	}
}
RULES
exec %s "$@"
`, rules, binary)
	if err := os.WriteFile(program, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return program
}

// runMeddled runs the example to its end.
func runMeddled(t *testing.T, rules string) (r *demo.Report, page string) {
	t.Helper()
	set, err := demo.Example()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	r, err = demo.Run(t.Context(), demo.Options{
		Title: demo.ExampleTitle, Set: set, Changes: demo.ExampleChanges(), Program: meddled(t, rules), Out: &out,
	})
	if err != nil {
		t.Fatal(err)
	}
	return r, out.String()
}

// A demo that could not fail would show nothing.
func TestOpenConnectionsThatDoWhatTheyShouldNot(t *testing.T) {
	for name, test := range map[string]struct {
		rules string
		// wrong are the held connections that differ, by protocol and verdict.
		wrong []string
		names string
	}{
		// Every packet of an open connection is marked as accepted.
		"never cut": {
			rules: "ct state established ct mark set ct mark and 0xffffff9f or 0x20",
			wrong: []string{"TCP Deny", "UDP Deny"},
			names: "policies say Deny, the wire shows: goes on",
		},
		// The dataplane says that it enforces the change before this ends them.
		"cut though allowed": {
			rules: "meta l4proto udp ct original packets > 150 drop",
			wrong: []string{"UDP Allow"},
			names: "policies say Allow, the wire shows: silent after",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, page := runMeddled(t, test.rules)
			if r.Agree {
				t.Error("wire and policies agree")
			}
			round := r.Rounds[2]
			// The meddler may also keep a connection of the round before alive that
			// one of this round happens to continue: the same port, or ping.
			if round.Differ < len(test.wrong) {
				t.Errorf("%d connections differ, want at least %d", round.Differ, len(test.wrong))
			}
			for _, h := range round.Held {
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
