package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/cmd/sluice/internal/nodeonly"
	"github.com/sluicenet/sluice/cmd/sluice/internal/scope"
)

func namesOf(commands []*cobra.Command) (names []string) {
	for _, c := range commands {
		names = append(names, c.Name())
	}
	slices.Sort(names)
	return names
}

// TestCommandsPerPlatform checks which commands the program contains on Linux, and which of them it
// contains on other platforms.
func TestCommandsPerPlatform(t *testing.T) {
	onlyLinux := []string{"agent", "compile", "dataplane", "health", "operator"}
	everywhere := []string{
		"check", "completion", "diff", "evaluate", "explain", "flows", "hits", "lint", "matrix", "options",
		"status", "sysdump", "ui", "version",
	}
	all := append(slices.Clone(onlyLinux), everywhere...)
	slices.Sort(all)
	for name, c := range map[string]struct{ got, want []string }{
		"sluice on Linux":            {namesOf(rootCommand().Commands()), all},
		"kubectl sluice":             {namesOf(pluginCommand().Commands()), everywhere},
		"missing on other platforms": {namesOf(nodeonly.Commands()), onlyLinux},
		"on a node or in a pod":      {namesOf(nodeCommands()), onlyLinux},
	} {
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestMissingCommands runs the commands that replace those of a node on other platforms. It also checks
// the error for a flag that needs a node.
func TestMissingCommands(t *testing.T) {
	call := func(args ...string) (code int, out, stderr string) {
		root := newRoot()
		root.AddCommand(append(nodeonly.Commands(), versionCommand())...)
		root.SetArgs(args)
		var stdout, failure bytes.Buffer
		root.SetOut(&stdout)
		code = exitCode(root.ExecuteContext(t.Context()), &failure)
		return code, stdout.String(), failure.String()
	}
	for _, args := range [][]string{{"agent", "--node", "n1"}, {"dataplane", "--help"}, {"health", "unix:health"}} {
		want := "sluice " + args[0] + " works only on Linux, on a node or in a pod\n"
		if code, out, stderr := call(args...); code != exitWrongInput || out != "" || stderr != want {
			t.Errorf("%v: exit %d, %q, %q, want %q", args, code, out, stderr, want)
		}
	}
	var stderr bytes.Buffer
	if code := exitCode(nodeonly.Error("--state-dir"), &stderr); code != exitWrongInput || stderr.String() != "--state-dir works only on Linux, on a node or in a pod\n" {
		t.Errorf("--state-dir: exit %d, %q", code, &stderr)
	}
	_, help, _ := call("--help")
	if !strings.Contains(help, "\n  version ") || strings.Contains(help, "agent") || strings.Contains(help, "dataplane") {
		t.Errorf("help:\n%s", help)
	}
}

// TestPlatformDefaults checks what differs between Linux and other platforms by default.
func TestPlatformDefaults(t *testing.T) {
	for system, want := range map[string]scope.Scope{"linux": scope.Node, "darwin": scope.Cluster, "windows": scope.Cluster} {
		if got := scope.OfProgram(system); got != want {
			t.Errorf("%s: scope %v, want %v", system, got, want)
		}
	}
	for name, want := range map[string]bool{
		"kubectl-sluice": true, "/usr/local/bin/kubectl-sluice": true, "kubectl-sluice.exe": true, "KUBECTL-SLUICE.EXE": true,
		"sluice": false, "sluice.exe": false, "kubectl-sluice-2": false,
	} {
		if got := isPlugin(name); got != want {
			t.Errorf("isPlugin(%q) is %v, want %v", name, got, want)
		}
	}
}
