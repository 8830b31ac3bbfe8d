package query

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/sluicenet/sluice/internal/table"
	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/policy/lint"
	"github.com/sluicenet/sluice/query/internal/phrase"
	"github.com/sluicenet/sluice/query/question"
)

// LintReport contains the findings of package lint for a set of policies.
type LintReport struct {
	TypeMeta
	// Policies is the number of policies that were checked.
	Policies int `json:"policies"`
	// Errors, Warnings and Notes are the numbers of findings by severity. They include findings
	// that are omitted from Findings and only counted in Finding.More.
	Errors   int       `json:"errors"`
	Warnings int       `json:"warnings"`
	Notes    int       `json:"notes"`
	Findings []Finding `json:"findings"`
	// Uncertain is true if at least one finding is a note instead of a warning, because the input
	// consists of manifests that may not contain all objects of the cluster.
	Uncertain bool `json:"uncertain,omitempty"`
}

// Fails reports whether the report contains a finding of the given severity or of a more severe one.
func (r *LintReport) Fails(s lint.Severity) bool {
	switch s {
	case lint.Error:
		return r.Errors > 0
	case lint.Warning:
		return r.Errors+r.Warnings > 0
	case lint.Note:
		return len(r.Findings) > 0
	default:
		return false
	}
}

// Finding is a lint finding, with the file and line of the policy to which the finding
// applies.
type Finding struct {
	lint.Finding
	Origin string `json:"origin,omitempty"`
	// Place is the file and the line of Origin.
	Place inventory.Origin `json:"-"`
}

// LintOptions selects what Lint checks and reports.
type LintOptions struct {
	// If Namespace is not empty, only the policies of this namespace are checked.
	Namespace string
	// Complete is true if the input certainly contains all objects of the cluster. Otherwise, findings
	// that depend on the absence of objects are notes if the input consists of manifests.
	Complete bool
	// Ignore contains the names of checks whose findings are omitted.
	Ignore []string
}

// Lint checks policies. It returns an *InputError if the namespace does not exist, or if
// there is no check with a name in Ignore.
func (c *Cluster) Lint(o LintOptions) (*LintReport, error) {
	namespace := o.Namespace
	for _, name := range o.Ignore {
		if !slices.ContainsFunc(lint.Checks(), func(c lint.Check) bool { return c.Name == name }) {
			return nil, question.Errorf("ignore", name, "no check of that name; sluice lint prints the name of the check behind each finding")
		}
	}
	if namespace != "" {
		if err := c.checkNamespace(namespace); err != nil {
			return nil, err
		}
	}
	r := &LintReport{TypeMeta: NewTypeMeta("LintReport"), Findings: []Finding{}}
	origins := map[string]inventory.Origin{}
	in := lint.Input{
		Snapshot: c.snapshot, Blanks: map[string][]string{}, Services: c.set.Services, Endpoints: c.set.Slices,
		RunSometimes: c.set.RunSometimes(), Partial: !o.Complete && c.planned(),
	}
	for _, p := range c.set.Policies {
		if namespace == "" || namespace == p.Scope {
			r.Policies++
		}
		origins[p.String()], in.Blanks[p.String()] = p.Origin, p.Blanks
	}
	for _, f := range lint.Run(in) {
		if (namespace == "" || namespace == f.Namespace) && !slices.Contains(o.Ignore, f.Check) {
			r.add(Finding{Finding: f, Origin: origins[f.Policy].String(), Place: origins[f.Policy]})
		}
	}
	return r, nil
}

// planned reports whether the input consists of manifests, and not of the objects of a running cluster.
// A cluster has pods with a status, or nodes.
func (c *Cluster) planned() bool {
	return len(c.set.Nodes) == 0 && !slices.ContainsFunc(c.set.Pods, func(p inventory.Pod) bool { return !p.NoStatus })
}

// checkNamespace returns an *InputError if a namespace does not exist.
func (c *Cluster) checkNamespace(namespace string) error {
	if known := c.namespaces(); !slices.Contains(known, namespace) {
		return question.Errorf("namespace", namespace, "no namespace of that name; there %s", are(known))
	}
	return nil
}

func are(names []string) string {
	if len(names) == 0 {
		return "are none"
	}
	return "are " + phrase.Few(names)
}

// namespaces lists, in ascending order, all namespaces that have a Namespace object
// or contain a pod or a policy.
func (c *Cluster) namespaces() []string {
	names := map[string]bool{}
	for i := range c.set.Namespaces {
		names[c.set.Namespaces[i].Name] = true
	}
	for i := range c.set.Pods {
		names[c.set.Pods[i].Pod.Namespace] = true
	}
	for i := range c.set.Policies {
		names[c.set.Policies[i].Scope] = true
	}
	delete(names, "") // ClusterNetworkPolicies are in no namespace.
	return slices.Sorted(maps.Keys(names))
}

func (r *LintReport) add(f Finding) {
	r.Findings = append(r.Findings, f)
	r.Uncertain = r.Uncertain || f.Uncertain
	places := 1 + f.More
	switch f.Severity {
	case lint.Error:
		r.Errors += places
	case lint.Warning:
		r.Warnings += places
	case lint.Note:
		r.Notes += places
	}
}

// WriteText writes the findings as human-readable text, grouped by policy.
func (r *LintReport) WriteText(out io.Writer) error {
	w := bufio.NewWriter(out)
	for i := range r.Findings {
		f := &r.Findings[i]
		if i == 0 || f.Policy != r.Findings[i-1].Policy || f.Policy == "" {
			fmt.Fprintln(w, f.heading())
		}
		f.write(w)
	}
	if len(r.Findings) > 0 {
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "%s: %s, %s, %s\n", phrase.Number(r.Policies, "policy", "policies"),
		phrase.Number(r.Errors, "error", "errors"), phrase.Number(r.Warnings, "warning", "warnings"), phrase.Number(r.Notes, "note", "notes"))
	if r.Uncertain {
		fmt.Fprintln(w, "The input consists of manifests. Findings about missing objects are notes; with --complete, they are warnings.")
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing findings: %w", err)
	}
	return nil
}

// WriteWide writes the findings as a table with one line for each finding.
func (r *LintReport) WriteWide(out io.Writer) error {
	t := table.New("severity", "check", "policy", "field", "origin", "message", "fix")
	for i := range r.Findings {
		f := &r.Findings[i]
		message := f.Message
		if f.Detail != "" {
			message += " (" + f.Detail + ")"
		}
		t.Row(string(f.Severity), f.Check, table.Cell(f.Policy), table.Cell(f.Field), table.Cell(f.Origin), message, table.Cell(f.Fix))
	}
	if err := t.Write(out, ""); err != nil {
		return fmt.Errorf("writing findings: %w", err)
	}
	return nil
}

func (f *Finding) heading() string {
	switch {
	case f.Policy == "":
		return "namespace " + f.Namespace
	case f.Namespace == "":
		return fmt.Sprintf("ClusterNetworkPolicy %s (%s)", f.Policy, f.Origin)
	}
	return fmt.Sprintf("%s (%s)", f.Policy, f.Origin)
}

func (f *Finding) write(w io.Writer) {
	fmt.Fprintf(w, "  %-8s", f.Severity)
	if f.Field != "" {
		fmt.Fprintf(w, " %s:", f.Field)
	}
	fmt.Fprintf(w, " %s", f.Message)
	if f.Detail != "" {
		fmt.Fprintf(w, " (%s)", f.Detail)
	}
	fmt.Fprintf(w, " [%s]\n", f.Check)
	if f.Fix != "" {
		fmt.Fprintf(w, "           fix: %s\n", f.Fix)
	}
	if f.More > 0 {
		fmt.Fprintf(w, "           %s of the check %s omitted\n", phrase.Number(f.More, "more finding", "more findings"), f.Check)
	}
}
