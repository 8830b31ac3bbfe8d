// Package completion completes the values of flags in a shell: the names of objects in the selected
// cluster or in the given manifests, and fixed words.
package completion

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sluicenet/sluice/policy/lint"
)

// Register adds functions to all commands below a root command that complete the values of their
// flags. Flags and arguments without such a function are not completed.
func Register(root *cobra.Command) {
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	for _, cmd := range root.Commands() {
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if complete := function(cmd, f.Name); complete != nil {
				_ = cmd.RegisterFlagCompletionFunc(f.Name, complete) // The flag exists.
			}
		})
	}
}

// function returns the function that completes the values of a flag, or nil if there is none.
func function(cmd *cobra.Command, flag string) cobra.CompletionFunc {
	switch flag {
	case "filename", "base", "flows", "file", "kubeconfig", "client-certificate", "client-key", "certificate-authority":
		return files
	case "state-dir", "cni-results":
		return directories
	case "from":
		return ends(false)
	case "to":
		return ends(true)
	case "namespace":
		return namespaces
	case "delete":
		return policies
	case "node":
		return nodes
	case "context", "cluster", "user":
		return inKubeconfig(flag)
	case "ignore":
		return checks
	case "protocol": // The flag also accepts numbers.
		return fixed([]string{"TCP", "UDP", "SCTP", "ICMP"})
	}
	if choice, ok := cmd.Flags().Lookup(flag).Value.(interface{ Words() []string }); ok {
		return fixed(choice.Words())
	}
	return nil
}

// fixed returns a function that completes one of some words.
func fixed(words []string) cobra.CompletionFunc {
	return func(_ *cobra.Command, _ []string, text string) ([]string, cobra.ShellCompDirective) {
		return matching(words, text), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}

func files(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveDefault
}

func directories(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

// checks completes the last name of a list of checks.
func checks(_ *cobra.Command, _ []string, text string) ([]string, cobra.ShellCompDirective) {
	before := text[:strings.LastIndexByte(text, ',')+1]
	var out []string
	for _, check := range lint.Checks() {
		out = append(out, before+check.Name)
	}
	return matching(out, text), cobra.ShellCompDirectiveNoFileComp
}

// matching returns the words that begin with a text.
func matching(words []string, text string) []string {
	var out []string
	for _, word := range words {
		if strings.HasPrefix(word, text) {
			out = append(out, word)
		}
	}
	return out
}
