package input

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/sluicenet/sluice/live"
)

// ClusterFlags are kubectl's flags that select a cluster, a user and the details of the connection.
// They have the same names and the same effects as in kubectl.
type ClusterFlags struct {
	options   live.Options
	extra     []string
	verbosity verbosity
	flags     *pflag.FlagSet
	command   *cobra.Command
}

// AddFlags adds the flags to a command. The help of the command lists only the flags that most users
// need. The command options lists all of them.
func (c *ClusterFlags) AddFlags(cmd *cobra.Command) {
	set := c.flagSet()
	set.VisitAll(func(f *pflag.Flag) {
		f.Hidden = f.Name != "kubeconfig" && f.Name != "context"
	})
	set.Lookup("kubeconfig").Usage += "; the command\n\"options\" lists kubectl's other flags, such as --as and --server"
	cmd.Flags().AddFlagSet(set)
	c.verbosity.addTo(cmd.Flags())
	cmd.Flags().Lookup("v").Hidden = true
	c.command = cmd
}

// flagSet returns the flags.
func (c *ClusterFlags) flagSet() *pflag.FlagSet {
	c.flags = pflag.NewFlagSet("", pflag.ContinueOnError)
	c.flags.StringVar(&c.options.Kubeconfig, "kubeconfig", "", "kubeconfig `file` (default: that of kubectl)")
	names := clientcmd.RecommendedConfigOverrideFlags("")
	names.ClusterOverrideFlags.APIServer.ShortName = "s"
	// Commands that use a namespace have their own flag -n. kubectl has no flags for a password.
	names.ContextOverrideFlags.Namespace.LongName = ""
	names.AuthOverrideFlags.Username.LongName, names.AuthOverrideFlags.Password.LongName = "", ""
	clientcmd.BindOverrideFlags(&c.options.Overrides, c.flags, names)
	c.flags.StringArrayVar(&c.extra, "as-user-extra", nil, "Extra field of the user to impersonate, in the form key=value; repeatable")
	c.flags.Lookup("context").Usage = "`name` of a context in the kubeconfig (default: the current context)"
	return c.flags
}

// FlagsOf returns the flags of a command to which AddFlags was applied, with the values that the user
// set. It is for code that is not part of the command, such as the completion of command lines.
func FlagsOf(cmd *cobra.Command) *ClusterFlags {
	c := &ClusterFlags{command: cmd}
	c.flagSet().VisitAll(func(f *pflag.Flag) {
		given := cmd.Flags().Lookup(f.Name)
		if given == nil || !given.Changed {
			return
		}
		values := []string{given.Value.String()}
		if list, ok := given.Value.(pflag.SliceValue); ok {
			values = list.GetSlice()
		}
		for _, value := range values {
			_ = c.flags.Set(f.Name, value) // The command has parsed the same value.
		}
	})
	return c
}

// WriteConnectionFlags writes the help of all flags that AddFlags adds.
func WriteConnectionFlags(out io.Writer, width int) error {
	var c ClusterFlags
	set := c.flagSet()
	c.verbosity.addTo(set)
	if _, err := io.WriteString(out, set.FlagUsagesWrapped(width)); err != nil {
		return fmt.Errorf("writing flags: %w", err)
	}
	return nil
}

// Given reports whether the user set a flag that selects a cluster.
func (c *ClusterFlags) Given() bool {
	given := false
	c.flags.VisitAll(func(f *pflag.Flag) { given = given || f.Changed })
	return given
}

// Connect returns a connection to the selected cluster. If no cluster is configured, it
// returns live.ErrNoCluster. For any other error in the flags or the kubeconfig, it returns an Error.
func (c *ClusterFlags) Connect() (*live.Connection, error) {
	for _, text := range c.extra {
		key, value, found := strings.Cut(text, "=")
		if !found {
			return nil, Errorf("--as-user-extra %s: want key=value", text)
		}
		user := &c.options.Overrides.AuthInfo
		if user.ImpersonateUserExtra == nil {
			user.ImpersonateUserExtra = map[string][]string{}
		}
		user.ImpersonateUserExtra[key] = append(user.ImpersonateUserExtra[key], value)
	}
	c.verbosity.apply(c.command.ErrOrStderr())
	connection, err := live.Connect(c.options)
	if err != nil && !errors.Is(err, live.ErrNoCluster) {
		return nil, Error{err}
	}
	return connection, err
}
