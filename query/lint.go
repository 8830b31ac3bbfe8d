package query

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"slices"

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
}

// Finding is a lint finding, with the file and line of the policy to which the finding
// applies.
type Finding struct {
	lint.Finding
	Origin string `json:"origin,omitempty"`
}

// Lint checks the policies of one namespace, or of all namespaces if namespace is
// empty. It returns an *InputError if the namespace does not exist.
func (c *Cluster) Lint(namespace string) (*LintReport, error) {
	if namespace != "" {
		if err := c.checkNamespace(namespace); err != nil {
			return nil, err
		}
	}
	r := &LintReport{TypeMeta: NewTypeMeta("LintReport"), Findings: []Finding{}}
	origins := map[string]string{}
	for _, p := range c.set.Policies {
		if namespace == "" || namespace == p.Scope {
			r.Policies++
		}
		origins[p.String()] = p.Origin.String()
	}
	for _, f := range lint.Run(c.snapshot) {
		if namespace == "" || namespace == f.Namespace {
			r.add(Finding{Finding: f, Origin: origins[f.Policy]})
		}
	}
	return r, nil
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
	if err := w.Flush(); err != nil {
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
