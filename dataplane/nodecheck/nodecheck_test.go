package nodecheck

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/ruleset"
	"github.com/sluicenet/sluice/test/lab"
)

func newHost(t *testing.T) *lab.Host {
	t.Helper()
	l, err := lab.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	n, err := l.AddNode("node")
	if err != nil {
		t.Fatal(err)
	}
	return n.Host
}

func nft(t *testing.T, h *lab.Host, script string) {
	t.Helper()
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(script)
	if err := h.Do(func() error {
		output, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s", output)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func settings(t *testing.T) Settings {
	t.Helper()
	marks, err := ruleset.MarksOf(ruleset.DefaultMask)
	if err != nil {
		t.Fatal(err)
	}
	return Settings{Marks: marks, Queues: ruleset.NewQueues(2700, 2), StateDir: t.TempDir(), CNIResults: t.TempDir()}
}

func run(t *testing.T, h *lab.Host, s Settings) map[string]report.Check {
	t.Helper()
	out := map[string]report.Check{}
	if err := h.Do(func() error {
		for _, c := range Run(t.Context(), s) {
			out[c.Name] = c
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestRun runs the checks on a node on which this kernel can enforce policies. The checks must
// leave no table behind.
func TestRun(t *testing.T) {
	h := newHost(t)
	for name, c := range run(t, h, settings(t)) {
		want := report.CheckOK
		if name == "CNI results" { // The directory is empty.
			want = report.CheckWarning
		}
		if c.Result != want || c.Seen == "" || (c.Fix == "") != (want == report.CheckOK) {
			t.Errorf("%+v, want %s", c, want)
		}
	}
	if err := h.Do(func() error {
		output, err := exec.Command("nft", "list", "tables").CombinedOutput()
		if len(output) > 0 {
			t.Errorf("tables after the check: %s", output)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func TestOtherRules(t *testing.T) {
	h := newHost(t)
	nft(t, h, `
		table ip kube-proxy {
			chain mark-for-masquerade { mark set mark | 0x4000; }
			chain compares { mark & 0x60 == 0x20 accept; }
		}
		table inet other {
			chain replaces { type filter hook forward priority 0; meta mark set 0x1; }
			chain copies { ct mark set meta mark; }
			chain one-bit { ct mark set ct mark | 0x40; }
			chain untracked { type filter hook prerouting priority -300; udp dport 53 notrack; }
		}
		table inet sluice { chain own { meta mark set 0x60; }
		}
	`)
	got := run(t, h, settings(t))
	want := map[string]report.Check{
		"other rules":       {Name: "other rules", Result: report.CheckOK, Seen: "tables ip kube-proxy, inet other"},
		"mark bits":         {Name: "mark bits", Result: report.CheckWarning, Seen: "inet other replaces, inet other copies, inet other one-bit", Fix: "these chains change bits 0x60: choose other bits with spec.markMask of the Enforcer"},
		"untracked packets": {Name: "untracked packets", Result: report.CheckWarning, Seen: "inet other untracked", Fix: got["untracked packets"].Fix},
	}
	for name, w := range want {
		if diff := cmp.Diff(w, got[name]); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

// TestSettings checks results that depend on files in /proc and /sys.
func TestSettings(t *testing.T) {
	for name, test := range map[string]struct {
		files  map[string]string
		check  func(*node) report.Check
		result report.CheckResult
		seen   string
	}{
		"no bridge":          {nil, (*node).bridges, report.CheckOK, "the node has no bridge"},
		"bridge, module off": {map[string]string{"sys/class/net/cni0/bridge/x": ""}, (*node).bridges, report.CheckWarning, "bridge-nf-call-iptables = missing"},
		"bridge, module on": {map[string]string{
			"sys/class/net/cni0/bridge/x": "", "proc/sys/net/bridge/bridge-nf-call-iptables": "1\n", "proc/sys/net/bridge/bridge-nf-call-ip6tables": "1\n",
		}, (*node).bridges, report.CheckOK, "net.bridge.bridge-nf-call-ip6tables = 1"},
		"source routing": {map[string]string{"proc/sys/net/ipv4/conf/all/accept_source_route": "1\n"}, (*node).routing, report.CheckWarning, "accept_source_route = 1"},
		"no queues":      {nil, (*node).queues, report.CheckFailed, "nfnetlink_queue does not exist"},
		"used queues": {
			map[string]string{"proc/thread-self/net/netfilter/nfnetlink_queue": " 2699 1 0 2 99 0 0 0 1\n 2701 1 0 2 99 0 0 0 1\n 2705 1 0 2 99 0 0 0 1\n"},
			(*node).queues, report.CheckFailed, "another program uses 2701, 2705 of 2700 to 2707",
		},
		"other queues": {map[string]string{"proc/thread-self/net/netfilter/nfnetlink_queue": " 0 1 0 2 99 0 0 0 1\n"}, (*node).queues, report.CheckOK, "2700 to 2707 are free"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for path, content := range test.files {
				path = filepath.Join(dir, path)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			n := &node{Settings: settings(t), proc: filepath.Join(dir, "proc"), sys: filepath.Join(dir, "sys")}
			if c := test.check(n); c.Result != test.result || !strings.Contains(c.Seen, test.seen) {
				t.Errorf("%+v, want %s with %q", c, test.result, test.seen)
			}
		})
	}
}
