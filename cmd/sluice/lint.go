package main

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/policy/lint"
)

// lintCommand looks for policies that do not do what they seem to.
func lintCommand() *cobra.Command {
	var in manifests
	var out output
	var namespace string
	cmd := &cobra.Command{
		Use:   "lint [-f DIR]",
		Short: "Find policies that do not do what they seem to",
		Long: `Finds policies that are valid and still do not do what they seem to: that select
no pod, name ports that no pod has, mean two entries where one was meant, forget
DNS, and so on. It looks at the live cluster of the kubeconfig, or with -f at
manifests; what depends on pods or namespaces only where there are any among them.

Errors are parts that cannot be understood and allow nothing; warnings almost
surely do something else than meant; notes are worth a look.
Exits 1 when there are errors or warnings.`,
		Example: `  sluice lint -n shop
  sluice lint -f manifests/
  kubectl get netpol,pods,namespaces -A -o yaml | sluice lint -f - -o json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			set, err := in.read(cmd)
			if err != nil {
				return err
			}
			if known := namespaces(set); namespace != "" && !slices.Contains(known, namespace) {
				return wrongf("-n %s: no namespace of that name %s; there are %s", namespace, in.where(), few(known))
			}
			done := progress(cmd.ErrOrStderr(), "looking at policies")
			findings := lint.Check(set.Snapshot())
			done()
			if namespace != "" {
				set.Policies = slices.DeleteFunc(set.Policies, func(p inventory.Policy) bool { return p.NetworkPolicy.Namespace != namespace })
				findings = slices.DeleteFunc(findings, func(f lint.Finding) bool { return f.Namespace != namespace })
			}
			return writeFindings(cmd.OutOrStdout(), &out, set, findings)
		},
	}
	in.orCluster(cmd)
	out.addFlag(cmd)
	cmd.Flags().StringVarP(&namespace, "namespace", "n", "", "only policies of this `namespace`; else of all")
	return cmd
}

// namespaces lists the namespaces that exist or that hold a pod or a policy, in
// ascending order.
func namespaces(set *inventory.Set) []string {
	names := map[string]bool{}
	for i := range set.Namespaces {
		names[set.Namespaces[i].Name] = true
	}
	for i := range set.Pods {
		names[set.Pods[i].Pod.Namespace] = true
	}
	for i := range set.Policies {
		names[set.Policies[i].NetworkPolicy.Namespace] = true
	}
	return sortedNames(names)
}

// located is a finding and the place of its policy in the input.
type located struct {
	lint.Finding
	Origin string `json:"origin,omitempty"`
}

// lintReport is the JSON that lint writes.
type lintReport struct {
	Policies int       `json:"policies"`
	Errors   int       `json:"errors"`
	Warnings int       `json:"warnings"`
	Notes    int       `json:"notes"`
	Findings []located `json:"findings"`
}

func writeFindings(w io.Writer, out *output, set *inventory.Set, findings []lint.Finding) error {
	origins := map[string]string{}
	for _, p := range set.Policies {
		origins[p.NetworkPolicy.Namespace+"/"+p.Name] = p.Origin.String()
	}
	r := lintReport{Policies: len(set.Policies), Findings: []located{}}
	for _, f := range findings {
		r.Findings = append(r.Findings, located{Finding: f, Origin: origins[f.Policy]})
		switch f.Severity {
		case lint.Error:
			r.Errors++
		case lint.Warning:
			r.Warnings++
		case lint.Note:
			r.Notes++
		}
	}
	var err error
	if out.json() {
		err = writeJSON(w, r)
	} else {
		err = r.text(w)
	}
	if err == nil && r.Errors+r.Warnings > 0 {
		return errAnswered
	}
	return err
}

// text writes the findings by policy.
func (r *lintReport) text(out io.Writer) error {
	w := bufio.NewWriter(out)
	for i, f := range r.Findings {
		if i == 0 || f.Policy != r.Findings[i-1].Policy || f.Policy == "" {
			heading := "namespace " + f.Namespace
			if f.Policy != "" {
				heading = fmt.Sprintf("%s (%s)", f.Policy, f.Origin)
			}
			fmt.Fprintln(w, heading)
		}
		fmt.Fprintf(w, "  %-8s", f.Severity)
		if f.Field != "" {
			fmt.Fprintf(w, " %s:", f.Field)
		}
		fmt.Fprintf(w, " %s [%s]\n", f.Message, f.Check)
		if f.Mend != "" {
			fmt.Fprintf(w, "           mend: %s\n", f.Mend)
		}
	}
	if len(r.Findings) > 0 {
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "%s: %s, %s, %s\n", number(r.Policies, "policy", "policies"),
		number(r.Errors, "error", "errors"), number(r.Warnings, "warning", "warnings"), number(r.Notes, "note", "notes"))
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing findings: %w", err)
	}
	return nil
}

// number writes "1 policy" or "2 policies".
func number(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func sortedNames(m map[string]bool) []string { return slices.Sorted(maps.Keys(m)) }
