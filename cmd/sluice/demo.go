package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/demo"
)

func demoCommand() *cobra.Command {
	var in manifests
	var out output
	var ports []string
	var keep bool
	refusal := demo.DefaultRefusal
	cmd := &cobra.Command{
		Use:   "demo [-f FILE]...",
		Short: "Enforce policies on real connections between network namespaces",
		Long: `Demo makes a node and pods out of network namespaces, starts the real dataplane
in that node, opens real connections from everybody to everybody, and prints who
reached whom beside what the policies say, and why. Then it changes the policies
and looks again. It needs Linux and root, and leaves nothing behind. With --keep it
leaves everything running until Ctrl-C and says how to look around.

Without -f it shows the example of the Kubernetes NetworkPolicy page. Exit code 0
means that wire and policies agreed on every connection.`,
		Example: `  sudo sluice demo
  sudo sluice demo -f manifests/ --port 443 --port 53/UDP --port ping
  sudo sluice demo --keep
  sudo sluice demo -o json | jq '.rounds[0].connections[] | select(.agrees | not)'`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			o := demo.Options{Refusal: refusal, Program: "/proc/self/exe", Name: programName(), Out: cmd.OutOrStdout(), Keep: keep}
			if out.json() {
				o.Out, o.Steps = cmd.ErrOrStderr(), true
				o.Reported = func(r *demo.Report) error { return writeJSON(cmd.OutOrStdout(), r) }
			}
			for _, text := range ports {
				p, err := demo.ParsePort(text)
				if err != nil {
					return wrongf("--port: %w", err)
				}
				o.Ports = append(o.Ports, p)
			}
			if refusal <= 0 {
				return wrongf("--refusal %s: want a time above 0, such as %s", refusal, demo.DefaultRefusal)
			}
			if err := demoManifests(cmd, &in, &o); err != nil {
				return err
			}
			report, err := demo.Run(cmd.Context(), o)
			if errors.Is(err, context.Canceled) {
				return errors.New("demo: interrupted; nothing is left of it")
			}
			if err != nil {
				return fmt.Errorf("demo: %w", err)
			}
			if !report.Agree {
				return errAnswered
			}
			return nil
		},
	}
	in.addFlag(cmd)
	out.addFlag(cmd)
	cmd.Flags().StringArrayVar(&ports, "port", nil, "try this `port`, such as 53/UDP or ping; repeatable (default all named)")
	cmd.Flags().DurationVar(&refusal, "refusal", refusal, "`time` after which silence counts as a refusal")
	cmd.Flags().BoolVar(&keep, "keep", false, "leave everything running until Ctrl-C, for a look around")
	return cmd
}

// programName is what a user can type in any folder for this program.
func programName() string {
	path, err := os.Executable()
	if err != nil {
		return "sluice"
	}
	return path
}

// demoManifests reads what -f gives, or the example.
func demoManifests(cmd *cobra.Command, in *manifests, o *demo.Options) error {
	var err error
	if len(in.paths) == 0 {
		o.Title, o.Changes = demo.ExampleTitle, demo.ExampleChanges()
		o.Set, err = demo.Example()
		return err
	}
	if o.Set, err = in.read(cmd); err != nil {
		return err
	}
	o.Title = "the manifests of " + strings.Join(in.paths, ", ")
	noteMeaning(cmd.ErrOrStderr(), o.Set, o.Set.Snapshot())
	return nil
}
