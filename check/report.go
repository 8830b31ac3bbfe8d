// Package check checks whether a cluster meets the requirements of Sluice, before and after an
// installation. It reads with the rights of the caller and changes nothing.
//
// Read collects Facts from the API server. Checks computes the results from the facts only.
package check

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/internal/table"
	"github.com/sluicenet/sluice/query"
)

// Report is the result of checking a cluster or a node.
type Report struct {
	query.TypeMeta
	// Subject names the cluster or the node that was checked, for example "cluster
	// production" or "node".
	Subject string         `json:"subject"`
	Checks  []report.Check `json:"checks"`
}

// NewReport returns a report.
func NewReport(subject string, checks []report.Check) *Report {
	return &Report{TypeMeta: query.TypeMeta{APIVersion: query.APIVersion, Kind: "CheckReport"}, Subject: subject, Checks: checks}
}

// Failed reports whether any check failed.
func (r *Report) Failed() bool {
	return slices.ContainsFunc(r.Checks, func(c report.Check) bool { return c.Result == report.CheckFailed })
}

// WriteText writes the report as human-readable text.
func (r *Report) WriteText(out io.Writer) error {
	w := bufio.NewWriter(out)
	fmt.Fprintf(w, "%s: %s.\n\n", r.Subject, r.summary())
	t := table.New("result", "check", "message")
	for i := range r.Checks {
		c := &r.Checks[i]
		t.Row(string(c.Result), c.Name, c.Seen)
		if c.Fix != "" {
			t.Row("", "", "fix: "+c.Fix)
		}
	}
	_ = t.Write(w, "") // A writer with a buffer returns its error when it is flushed.
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

// summary counts the results, such as "1 failed, 2 warnings, 12 ok".
func (r *Report) summary() string {
	counts := map[report.CheckResult]int{}
	for i := range r.Checks {
		counts[r.Checks[i].Result]++
	}
	var parts []string
	add := func(n int, one, many string) {
		switch {
		case n == 1:
			parts = append(parts, "1 "+one)
		case n > 1:
			parts = append(parts, fmt.Sprintf("%d %s", n, many))
		}
	}
	add(counts[report.CheckFailed], "failed", "failed")
	add(counts[report.CheckWarning], "warning", "warnings")
	add(counts[report.CheckSkipped], "skipped", "skipped")
	add(counts[report.CheckOK], "ok", "ok")
	return strings.Join(parts, ", ")
}
