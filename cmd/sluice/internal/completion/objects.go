package completion

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/cmd/sluice/internal/input"
	"github.com/sluicenet/sluice/live"
	"github.com/sluicenet/sluice/manifest"
)

// timeout limits the time for one completion, so that an API server that does not respond does not
// block the shell.
const timeout = 3 * time.Second

// types contains kubectl's short name for each kind that can be an end of a flow, apart from pods.
var types = map[string]string{
	"Deployment": "deploy/", "StatefulSet": "sts/", "DaemonSet": "ds/", "CronJob": "cronjob/", "Job": "job/", "Service": "svc/",
}

// object is the name of an object that can be an end of a flow. Its name begins with the type of the
// object, such as deploy/web, unless the object is a pod.
type object struct{ namespace, name string }

// ends returns a function that completes the source or the destination of a flow. Only the
// destination can be a Service.
func ends(services bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, text string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
		defer cancel()
		s := newSource(cmd)
		namespace := s.namespace()
		prefix := ""
		if before, _, found := strings.Cut(text, "/"); found && !isType(before) {
			namespace, prefix = before, before+"/"
		}
		var out []string
		for _, o := range s.ends(ctx, namespace, services) {
			switch {
			case o.namespace == namespace:
				out = append(out, prefix+o.name)
			case namespace == "":
				out = append(out, o.namespace+"/"+o.name)
			}
		}
		slices.Sort(out)
		return matching(slices.Compact(out), text), cobra.ShellCompDirectiveNoFileComp
	}
}

// isType reports whether a text is one of the type names that completions begin with.
func isType(text string) bool {
	for _, name := range types {
		if name == text+"/" {
			return true
		}
	}
	return false
}

func namespaces(cmd *cobra.Command, _ []string, text string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
	defer cancel()
	return matching(newSource(cmd).namespaces(ctx), text), cobra.ShellCompDirectiveNoFileComp
}

// policies completes the names of NetworkPolicies and ClusterNetworkPolicies of the cluster.
func policies(cmd *cobra.Command, _ []string, text string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
	defer cancel()
	connection, err := input.FlagsOf(cmd).Connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names := append(connection.Names(ctx, "NetworkPolicy", ""), connection.Names(ctx, "ClusterNetworkPolicy", "")...)
	return matching(names, text), cobra.ShellCompDirectiveNoFileComp
}

func nodes(cmd *cobra.Command, _ []string, text string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
	defer cancel()
	connection, err := input.FlagsOf(cmd).Connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names, err := connection.NodeNames(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return matching(names, text), cobra.ShellCompDirectiveNoFileComp
}

// inKubeconfig returns a function that completes the names of contexts, clusters or users.
func inKubeconfig(flag string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, text string) ([]string, cobra.ShellCompDirective) {
		kubeconfig := ""
		if f := cmd.Flags().Lookup("kubeconfig"); f != nil {
			kubeconfig = f.Value.String()
		}
		contexts, clusters, users := live.Configured(kubeconfig)
		names := map[string][]string{"context": contexts, "cluster": clusters, "user": users}[flag]
		return matching(names, text), cobra.ShellCompDirectiveNoFileComp
	}
}

// source reads the names of objects from the files of the flag -f, or from the selected cluster. If
// it cannot read them, it returns no names, because a shell shows no errors during completion.
type source struct {
	cmd   *cobra.Command
	paths []string
}

func newSource(cmd *cobra.Command) source {
	paths, err := cmd.Flags().GetStringArray("filename")
	if err != nil { // The command has no such flag.
		paths = nil
	}
	return source{cmd, paths}
}

// namespace returns the namespace of the flag -n, or the current namespace of the cluster. It
// returns "" if a name can be in any namespace.
func (s source) namespace() string {
	if n, err := s.cmd.Flags().GetString("namespace"); err == nil && n != "" {
		return n
	}
	if len(s.paths) > 0 {
		return ""
	}
	connection, err := input.FlagsOf(s.cmd).Connect()
	if err != nil {
		return ""
	}
	return connection.Namespace
}

func (s source) namespaces(ctx context.Context) []string {
	if len(s.paths) > 0 {
		var names []string
		for _, o := range s.inFiles(true) {
			names = append(names, o.namespace)
		}
		slices.Sort(names)
		return slices.Compact(names)
	}
	connection, err := input.FlagsOf(s.cmd).Connect()
	if err != nil {
		return nil
	}
	return connection.Names(ctx, "Namespace", "")
}

// ends returns the objects of a namespace that can be an end of a flow.
func (s source) ends(ctx context.Context, namespace string, services bool) []object {
	if len(s.paths) > 0 {
		return s.inFiles(services)
	}
	connection, err := input.FlagsOf(s.cmd).Connect()
	if err != nil {
		return nil
	}
	var out []object
	for _, name := range connection.Names(ctx, "Pod", namespace) {
		out = append(out, object{namespace, name})
	}
	for kind, prefix := range types {
		if kind == "Service" && !services {
			continue
		}
		for _, name := range connection.Names(ctx, kind, namespace) {
			out = append(out, object{namespace, prefix + name})
		}
	}
	return out
}

// inFiles returns the objects in the files that can be an end of a flow. It does not read standard
// input.
func (s source) inFiles(services bool) []object {
	paths := slices.DeleteFunc(slices.Clone(s.paths), func(path string) bool { return path == manifest.Stdin })
	set, err := manifest.Read(paths, strings.NewReader(""))
	if err != nil {
		return nil
	}
	var out []object
	for i := range set.Pods {
		out = append(out, object{set.Pods[i].Pod.Namespace, set.Pods[i].Name})
	}
	for i := range set.Workloads {
		if prefix, ok := types[set.Workloads[i].Kind]; ok {
			out = append(out, object{set.Workloads[i].Namespace, prefix + set.Workloads[i].Name})
		}
	}
	if services {
		for _, service := range set.Services {
			out = append(out, object{service.Namespace, types["Service"] + service.Name})
		}
	}
	return out
}
