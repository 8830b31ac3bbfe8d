package main

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/sluicenet/sluice/cmd/sluice-demo/internal/wire"
	"github.com/sluicenet/sluice/manifest"
	"github.com/sluicenet/sluice/test/eventually"
)

// kept is a running sluice-demo that the test started with --keep.
type kept struct {
	*exec.Cmd
	// hints contains the commands that the demo printed. The key is the purpose of the
	// command, such as "show the status".
	hints map[string]string
	out   io.Reader
}

// keep starts the demo with --keep, and waits until the demo has printed all hints.
func keep(t *testing.T) *kept {
	t.Helper()
	k := &kept{Cmd: exec.CommandContext(t.Context(), binary, slices.Concat([]string{"--keep"}, brief)...), hints: map[string]string{}}
	out, err := k.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	k.out = out
	if err := k.Start(); err != nil {
		t.Fatal(err)
	}
	k.read()
	return k
}

// read reads the output of the demo up to the last hint.
func (k *kept) read() {
	lines, hints := bufio.NewScanner(k.out), false
	for k.hints[keeping] == "" && lines.Scan() {
		hints = hints || strings.HasPrefix(lines.Text(), "Everything keeps running")
		what, command, found := strings.Cut(strings.TrimSpace(lines.Text()), "  ")
		if hints && found {
			k.hints[what] = strings.TrimSpace(command)
		}
	}
}

// stop sends SIGINT to the demo, as Ctrl-C does, and checks that the demo's exit code is 0.
func (k *kept) stop(t *testing.T) {
	t.Helper()
	if err := k.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, k.out)
	if err := k.Wait(); err != nil {
		t.Errorf("ending: %v, want exit code 0", err)
	}
}

// shell runs the command of a hint in a shell, as a user would. The arguments in the parameter
// `more` are appended to the command.
func (k *kept) shell(t *testing.T, what, more string) string {
	t.Helper()
	command := k.hints[what]
	if command == "" {
		t.Fatalf("there is no hint for %q, only %v", what, k.hints)
	}
	out, err := exec.CommandContext(t.Context(), "bash", "-c", command+" "+more).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %s %s: %v\n%s", what, command, more, err, out)
	}
	return string(out)
}

func TestTheHintsOfKeepWork(t *testing.T) {
	k := keep(t)
	defer k.stop(t)
	if rules := k.shell(t, "show the rules", ""); !strings.Contains(rules, "table inet sluice {") {
		t.Errorf("the rules:\n%s", rules)
	}
	if status := k.shell(t, "show the status", ""); !strings.Contains(status, "generation 3") {
		t.Errorf("status:\n%s", status)
	}
	_, inodes := holdings(t, k.Process.Pid)
	entered := map[string]bool{}
	for what, command := range k.hints {
		if strings.HasSuffix(command, " -n") {
			entered[k.shell(t, what, "readlink /proc/self/ns/net")] = true
		}
	}
	// All addresses outside the cluster are in the same network namespace.
	if want := len(inodes); len(entered) != want {
		t.Errorf("%d namespaces can be entered, want %d", len(entered), want)
	}
	denied := k.denial(t, func() {
		if got := k.shell(t, "a denied connection", ""); got != "not connected\n" {
			t.Errorf("a denied connection: %s", got)
		}
	})
	if !strings.Contains(denied, "no rule of default/test-network-policy allows it") {
		t.Errorf("denied flows: %s", denied)
	}
	if got := k.shell(t, "an allowed connection", ""); got != "connected\n" {
		t.Errorf("an allowed connection: %s", got)
	}
}

// denial runs the hint for `sluice flows` and calls the function `deny`, which must try to open a
// connection that the policies deny. It returns the first line that `sluice flows` writes.
func (k *kept) denial(t *testing.T, deny func()) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-c", "exec "+k.hints["show denied flows"]+" -c 1")
	listening, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if lines := bufio.NewScanner(listening); !lines.Scan() || !strings.HasPrefix(lines.Text(), "listening") {
		t.Errorf("denied flows: %q, want a line that reports that it listens", lines.Text())
	}
	deny()
	if err := cmd.Wait(); err != nil {
		t.Errorf("denied flows: %v", err)
	}
	return out.String()
}

// The test deletes a policy from the manifests that the demo wrote, and publishes the change
// with the commands of the hints, as a user would.
func TestPoliciesCanBeChangedDuringKeep(t *testing.T) {
	k := keep(t)
	defer k.stop(t)
	path := k.hints["edit the policies in"]
	set, err := manifest.Read([]string{path}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(set.Policies) != 1 || len(set.Pods) != 4 || len(set.Namespaces) != 2 {
		t.Errorf("%s holds %d policies, %d pods and %d namespaces", path, len(set.Policies), len(set.Pods), len(set.Namespaces))
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for object := range strings.SplitSeq(string(text), "---\n") {
		if !strings.Contains(object, "kind: NetworkPolicy\n") {
			left = append(left, object)
		}
	}
	if err := os.WriteFile(path, []byte(strings.Join(left, "---\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := k.shell(t, "enforce the edited file", ""); !strings.Contains(out, "0 of 4 pods isolated") {
		t.Errorf("output of compile: %s", out)
	}
	eventually.True(t, "no pod is isolated", func() bool { return k.shell(t, "a denied connection", "") == "connected\n" })
}

func TestKeepWritesJSONBeforeItWaits(t *testing.T) {
	k := &kept{Cmd: exec.CommandContext(t.Context(), binary, slices.Concat([]string{"--keep", "-o", "json"}, brief)...), hints: map[string]string{}}
	out, err := k.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if k.out, err = k.StderrPipe(); err != nil {
		t.Fatal(err)
	}
	if err := k.Start(); err != nil {
		t.Fatal(err)
	}
	defer k.stop(t)
	var r wire.Report
	if err := json.NewDecoder(out).Decode(&r); err != nil || !r.Agree {
		t.Errorf("report: agree %v, %v", r.Agree, err)
	}
	k.read()
	if k.hints["show the rules"] == "" {
		t.Errorf("hints on standard error: %v", k.hints)
	}
}
