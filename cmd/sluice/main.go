// Command sluice enforces Kubernetes NetworkPolicies, and answers questions about
// them.
//
// It exits with 0 if the command succeeded, 1 if it failed, and 2 if its input is
// wrong.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	os.Exit(runAs(os.Args[0], os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run runs the program under its own name and returns its exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return runAs("sluice", args, stdin, stdout, stderr)
}

// runAs runs the program and returns its exit code. If its name is that of the
// kubectl plugin, it runs the plugin.
func runAs(name string, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := rootCommand()
	if isPlugin(name) {
		root = pluginCommand()
	}
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return exitCode(root.ExecuteContext(ctx), stderr)
}

// rootCommand returns the program with all its commands.
func rootCommand() *cobra.Command {
	root := newRoot()
	root.AddCommand(
		endsAtOnce(evaluateCommand()),
		endsAtOnce(explainCommand()),
		endsAtOnce(matrixCommand()),
		endsAtOnce(lintCommand()),
		endsAtOnce(compileCommand()),
		agentCommand(),
		dataplaneCommand(),
		endsAtOnce(statusCommand(nodeScope)),
		flowsCommand(nodeScope),
		operatorCommand(),
	)
	return root
}

// newRoot returns the program without commands.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "sluice",
		Short: "Enforces Kubernetes NetworkPolicies by evaluating the first packet of each flow",
		Long: `Sluice enforces Kubernetes NetworkPolicies on every node. It evaluates only the first
packet of each flow.

It also explains what the policies of a cluster do, or of manifests without a cluster.
For that it evaluates the same compiled tree as a node does for packets.

If it is installed as kubectl-sluice on the PATH, it is also "kubectl sluice".`,
		Example: `  sluice explain -f manifests/ --from web-0 --to db-0 --port 5432
  kubectl get pods,namespaces,nodes,netpol -A -o yaml | sluice matrix -f - --port 80
  sluice lint -f manifests/`,
		Version:       describeVersion(),
		Args:          cobra.ArbitraryArgs,
		RunE:          unknownCommand,
		SilenceUsage:  true,
		SilenceErrors: true,
		// "explian" is two edits away from explain.
		SuggestionsMinimumDistance: 2,
	}
	root.SetVersionTemplate("sluice {{.Version}}\n")
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(wrongFlag)
	return root
}

// endsAtOnce makes a signal end the process at any point of the command, which has
// nothing to clean up. All other commands end when their context does.
func endsAtOnce(cmd *cobra.Command) *cobra.Command {
	cmd.PreRun = func(*cobra.Command, []string) { signal.Reset(os.Interrupt, syscall.SIGTERM) }
	return cmd
}
