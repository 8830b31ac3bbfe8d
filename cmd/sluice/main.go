// Command sluice enforces Kubernetes NetworkPolicies and answers questions
// about them.
//
// It exits 0 when it did what was asked, 1 when that failed, and 2 when what
// it was given is wrong.
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

// run is the program under its own name.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return runAs("sluice", args, stdin, stdout, stderr)
}

// runAs is main with everything it touches handed in; it gives the exit code.
// Under the name of a plugin of kubectl the program is that plugin.
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

// rootCommand is the program with all its commands.
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
		endsAtOnce(statusCommand(thisNode)),
		flowsCommand(thisNode),
		operatorCommand(),
	)
	return root
}

// newRoot is the program without a command.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "sluice",
		Short: "Enforces Kubernetes NetworkPolicies by judging the first packet of each flow",
		Long: `Sluice enforces Kubernetes NetworkPolicies on every node by judging only the
first packet of each flow. It also answers what policies do, those of a cluster or
of manifests without one, through the same compiled tree that packets are judged by.

As kubectl-sluice on the PATH it is "kubectl sluice".`,
		Example: `  sluice explain -f manifests/ --from web-0 --to db-0 --port 5432
  kubectl get pods,namespaces,nodes,netpol -A -o yaml | sluice matrix -f - --port 80
  sluice lint -f manifests/`,
		Version:       describeVersion(),
		Args:          cobra.ArbitraryArgs,
		RunE:          unknownCommand,
		SilenceUsage:  true,
		SilenceErrors: true,
		// Two edits make "explian" explain.
		SuggestionsMinimumDistance: 2,
	}
	root.SetVersionTemplate("sluice {{.Version}}\n")
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(wrongFlag)
	return root
}

// endsAtOnce lets a signal end the command wherever it is: it has nothing to
// take back. Other commands see to it that their context ends.
func endsAtOnce(cmd *cobra.Command) *cobra.Command {
	cmd.PreRun = func(*cobra.Command, []string) { signal.Reset(os.Interrupt, syscall.SIGTERM) }
	return cmd
}
