// Command sluice-demo enforces policies on real connections between network
// namespaces, and compares the results with the policies. It requires Linux, root and the
// program sluice. It does not require a cluster.
//
// The exit code is 0 if the results of all connections agree with the policies. It is 1 if a
// result differs or the demo failed, and 2 if the user's input is wrong.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/cmd/sluice-demo/example"
	"github.com/sluicenet/sluice/cmd/sluice-demo/internal/demo"
	"github.com/sluicenet/sluice/cmd/sluice-demo/internal/topology"
	"github.com/sluicenet/sluice/cmd/sluice-demo/internal/wire"
	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/manifest"
	"github.com/sluicenet/sluice/policy"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := exitCode(newCommand().ExecuteContext(ctx), os.Stderr)
	stop()
	os.Exit(code)
}

// flags are the flags of sluice-demo.
type flags struct {
	files   []string
	example string
	ports   []string
	timeout time.Duration
	format  string
	sluice  string
	keep    bool
	ui      bool
}

func newCommand() *cobra.Command {
	f := flags{timeout: demo.DefaultTimeout}
	cmd := &cobra.Command{
		Use:   "sluice-demo [-f FILE]...",
		Short: "Enforces policies on real connections between network namespaces",
		Long: `Sluice-demo creates network namespaces for a node and its pods, and starts the
real dataplane on the node. It opens real connections between the pods, the node
and addresses outside the node, and prints the results next to the verdicts of
the policies, with the reasons. Then it changes the policies and opens the
connections again. It needs Linux and root, and leaves nothing behind. With
--keep, it keeps everything running until Ctrl-C and prints commands with which
you can look around.

Without -f, it uses the example of the Kubernetes NetworkPolicy page. With
--example tiers, it uses an example with ClusterNetworkPolicies. The exit code is
0 if the results of all connections agree with the policies.`,
		Example: `  sudo sluice-demo
  sudo sluice-demo --example tiers
  sudo sluice-demo -f manifests/ --port 443 --port 53/UDP --port ping
  sudo sluice-demo --keep
  sudo sluice-demo --ui
  sudo sluice-demo -o json | jq '.rounds[0].connections[] | select(.agrees | not)'`,
		Args:          noArguments,
		RunE:          func(cmd *cobra.Command, _ []string) error { return run(cmd, &f) },
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.Flags().StringArrayVarP(&f.files, "filename", "f", nil, "`file`, directory (and below) or - for standard input; repeatable")
	cmd.Flags().StringVar(&f.example, "example", example.NetworkPolicies.Name, "`name` of the example to use without -f: network-policies or tiers")
	cmd.MarkFlagsMutuallyExclusive("example", "filename")
	cmd.Flags().StringArrayVar(&f.ports, "port", nil, "try this `port`, such as 53/UDP or ping; repeatable (default all that the manifests specify)")
	cmd.Flags().DurationVar(&f.timeout, "timeout", f.timeout, "`time` without a reply after which a connection counts as denied")
	cmd.Flags().StringVarP(&f.format, "output", "o", "text", "`format`: text or json")
	cmd.Flags().StringVar(&f.sluice, "sluice", "", "`path` of sluice (default next to sluice-demo)")
	cmd.Flags().BoolVar(&f.keep, "keep", false, "keep everything running until Ctrl-C, so that you can look around")
	cmd.Flags().BoolVar(&f.ui, "ui", false, "like --keep, and also serve a web page with the policies and the flows")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return wrongInput(err) })
	return cmd
}

func run(cmd *cobra.Command, f *flags) error {
	o, err := f.options(cmd)
	if err != nil {
		return err
	}
	report, err := demo.Run(cmd.Context(), *o)
	switch {
	case errors.Is(err, context.Canceled):
		return errors.New("interrupted; everything that the demo created is removed")
	case err != nil:
		return err
	case !report.Agree:
		return errDiffers
	}
	return nil
}

func (f *flags) options(cmd *cobra.Command) (*demo.Options, error) {
	o := &demo.Options{Timeout: f.timeout, Out: cmd.OutOrStdout(), Keep: f.keep || f.ui, Page: f.ui}
	switch f.format {
	case "text":
	case "json":
		o.Out, o.Steps = cmd.ErrOrStderr(), true
		o.Reported = func(r *wire.Report) error { return writeJSON(cmd.OutOrStdout(), r) }
	default:
		return nil, wrongInput(fmt.Errorf("-o %s: want text or json", f.format))
	}
	for _, text := range f.ports {
		p, err := topology.ParsePort(text)
		if err != nil {
			return nil, wrongInput(fmt.Errorf("--port: %w", err))
		}
		o.Ports = append(o.Ports, p)
	}
	if f.timeout <= 0 {
		return nil, wrongInput(fmt.Errorf("--timeout %s: want a time above 0, such as %s", f.timeout, demo.DefaultTimeout))
	}
	if err := f.readManifests(cmd, o); err != nil {
		return nil, err
	}
	var err error
	o.Program, err = f.program()
	return o, err
}

// readManifests reads the manifests that the flag -f specifies. If the flag is not set, it
// reads the example.
func (f *flags) readManifests(cmd *cobra.Command, o *demo.Options) error {
	var err error
	if len(f.files) == 0 {
		return f.readExample(o)
	}
	o.Title = "the manifests of " + strings.Join(f.files, ", ")
	if o.Set, err = manifest.Read(f.files, cmd.InOrStdin()); err != nil {
		return wrongInput(err)
	}
	writeNotes(cmd.ErrOrStderr(), o.Set)
	return nil
}

func (f *flags) readExample(o *demo.Options) error {
	e, err := example.Find(f.example)
	if err != nil {
		return wrongInput(fmt.Errorf("--example: %w", err))
	}
	o.Title = e.Title
	if o.Set, err = e.Read(); err != nil {
		return err
	}
	if o.Changes = demo.ExampleChanges(); e.Name == example.Tiers.Name {
		o.Changes = demo.TiersChanges(o.Set)
	}
	return nil
}

// maxNotes is the maximum number of policy errors that writeNotes lists.
const maxNotes = 10

// writeNotes lists missing Namespace objects and the invalid parts of policies.
func writeNotes(w io.Writer, set *inventory.Set) {
	for _, text := range set.Notes() {
		fmt.Fprintf(w, "note: %s\n", text)
	}
	policies := set.Snapshot().Policies()
	if missing := set.NamespacesWithoutObject(); len(missing) > 0 && slices.ContainsFunc(policies, (*policy.Policy).UsesNamespaces) {
		fmt.Fprintf(w, "note: no Namespace object for %s: no namespaceSelector matches the pods there\n", strings.Join(missing, ", "))
	}
	errors := policyErrors(policies)
	for _, e := range errors[:min(len(errors), maxNotes)] {
		fmt.Fprintf(w, "note: policy %s\n", e)
	}
	if more := len(errors) - maxNotes; more > 0 {
		fmt.Fprintf(w, "note: and %d more; sluice lint lists them\n", more)
	}
}

// policyErrors returns the errors of all policies. Each error starts with the name of its
// policy.
func policyErrors(policies []*policy.Policy) (out []string) {
	for _, p := range policies {
		for _, e := range p.Errors {
			out = append(out, p.String()+": "+e.Error())
		}
	}
	return out
}

// program returns the absolute path of the program sluice. This is the value of --sluice, or
// the path of the file sluice in the directory of sluice-demo.
func (f *flags) program() (string, error) {
	path := f.sluice
	if path == "" {
		self, err := os.Executable()
		if err != nil {
			return "", err
		}
		path = filepath.Join(filepath.Dir(self), "sluice")
	}
	if _, err := os.Stat(path); err != nil {
		return "", wrongInput(fmt.Errorf("the program sluice is missing, name it with --sluice: %w", err))
	}
	return filepath.Abs(path)
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("writing JSON: %w", err)
	}
	return nil
}

func noArguments(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return wrongInput(fmt.Errorf("unexpected argument %q; see sluice-demo --help", args[0]))
	}
	return nil
}

// inputError is an error in the user's input, such as an invalid argument or manifest.
type inputError struct{ error }

func wrongInput(err error) error { return inputError{err} }

// errDiffers is returned if the result of at least one connection contradicts the policies.
// The error contains no details because the output already lists each such connection.
var errDiffers = errors.New("results and policies differ")

// exitCode returns the exit code for an error, and writes the error message to stderr.
func exitCode(err error, stderr io.Writer) int {
	var wrong inputError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errDiffers):
		return 1
	case errors.As(err, &wrong):
		fmt.Fprintln(stderr, err)
		return 2
	default:
		fmt.Fprintln(stderr, "sluice-demo:", err)
		return 1
	}
}
