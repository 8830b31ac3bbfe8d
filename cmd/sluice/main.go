// Command sluice enforces Kubernetes NetworkPolicies and answers questions about them.
//
// The exit code is 0 if the command succeeded, 1 if it failed, and 2 if the user's input is
// wrong.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/cmd/sluice/internal/completion"
	"github.com/sluicenet/sluice/cmd/sluice/internal/scope"
	"github.com/sluicenet/sluice/internal/buildinfo"
)

func main() {
	os.Exit(runAs(os.Args[0], os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run runs the program under the name sluice and returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return runAs("sluice", args, stdin, stdout, stderr)
}

// runAs runs the program and returns the exit code. If the file name in the `name` parameter is
// kubectl-sluice, it runs the commands of the kubectl plugin.
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

// rootCommand returns the root command of sluice with all subcommands.
func rootCommand() *cobra.Command {
	root := newRoot()
	s := scope.OfProgram(runtime.GOOS)
	root.AddCommand(
		endsAtOnce(evaluateCommand()),
		endsAtOnce(explainCommand()),
		endsAtOnce(matrixCommand()),
		endsAtOnce(lintCommand()),
		diffCommand(),
		endsAtOnce(checkCommand()),
		endsAtOnce(sysdumpCommand()),
		endsAtOnce(versionCommand()),
		endsAtOnce(optionsCommand()),
		endsAtOnce(completionCommand("bash", "zsh", "fish", "powershell", "kubectl")),
		endsAtOnce(statusCommand(s)),
		flowsCommand(s),
		uiCommand(),
		endsAtOnce(hitsCommand(s)),
	)
	root.AddCommand(nodeCommands()...)
	completion.Register(root)
	return root
}

// newRoot returns a root command without subcommands.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "sluice",
		Short: "Enforces Kubernetes NetworkPolicies by evaluating the first packet of each flow",
		Long: `Sluice enforces Kubernetes NetworkPolicies on every node. It evaluates only the first packet of
each flow. It also explains what the policies of a cluster or of manifests do. For that it
evaluates the same compiled tree as a node does for packets. If it is installed as
kubectl-sluice on the PATH, it is also "kubectl sluice".`,
		Example: `  sluice explain -f manifests/ --from web-0 --to db-0 --port 5432
  kubectl get pods,namespaces,nodes,netpol -A -o yaml | sluice matrix -f - --port 80
  sluice lint -f manifests/`,
		Version:       buildinfo.Describe(),
		Args:          cobra.ArbitraryArgs,
		RunE:          unknownCommand,
		SilenceUsage:  true,
		SilenceErrors: true,
		// cobra suggests commands up to this edit distance. For example, "explian" has a
		// distance of 2 from "explain".
		SuggestionsMinimumDistance: 2,
	}
	root.SetVersionTemplate("sluice {{.Version}}\n")
	// Without this flag, cobra would add a flag --version with the short form -v. As with kubectl, -v
	// is the flag for the verbosity.
	root.Flags().Bool("version", false, "print the version of this program")
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(wrongFlag)
	return root
}

// endsAtOnce makes SIGINT and SIGTERM end the process immediately while the command runs. It
// is for commands that have nothing to clean up. Other commands stop when their context is
// canceled.
func endsAtOnce(cmd *cobra.Command) *cobra.Command {
	cmd.PreRun = func(*cobra.Command, []string) { signal.Reset(os.Interrupt, syscall.SIGTERM) }
	return cmd
}
