// Package sarif writes lint findings in SARIF 2.1.0 (Static Analysis Results Interchange Format).
// Services such as GitHub show the findings next to the lines of a file. They do not show findings
// about objects of a cluster, because these findings have no file.
package sarif

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/sluicenet/sluice/policy/lint"
	"github.com/sluicenet/sluice/query"
)

const (
	schema  = "https://json.schemastore.org/sarif-2.1.0.json"
	version = "2.1.0"
	project = "https://github.com/sluicenet/sluice"
	// page describes all checks. Its headings are the names of the checks.
	page = project + "/blob/main/docs/reference/lint.md"
)

type document struct {
	Schema  string `json:"$schema"`
	Version string `json:"version"`
	Runs    []run  `json:"runs"`
}

type run struct {
	Tool struct {
		Driver driver `json:"driver"`
	} `json:"tool"`
	Results []result `json:"results"`
}

type driver struct {
	Name           string       `json:"name"`
	Version        string       `json:"version"`
	InformationURI string       `json:"informationUri"`
	Rules          []descriptor `json:"rules"`
}

type descriptor struct {
	ID               string `json:"id"`
	ShortDescription text   `json:"shortDescription"`
	HelpURI          string `json:"helpUri"`
	Configuration    struct {
		Level string `json:"level"`
	} `json:"defaultConfiguration"`
}

type text struct {
	Text string `json:"text"`
}

type result struct {
	RuleID    string     `json:"ruleId"`
	RuleIndex int        `json:"ruleIndex"`
	Level     string     `json:"level"`
	Message   text       `json:"message"`
	Locations []location `json:"locations,omitempty"`
}

type location struct {
	Physical *physical `json:"physicalLocation,omitempty"`
	Logical  []logical `json:"logicalLocations,omitempty"`
}

type physical struct {
	Artifact struct {
		URI string `json:"uri"`
	} `json:"artifactLocation"`
	Region struct {
		StartLine int `json:"startLine"`
	} `json:"region"`
}

type logical struct {
	Name string `json:"fullyQualifiedName"`
}

// Write writes a report. The `release` parameter is the version of Sluice.
func Write(w io.Writer, r *query.LintReport, release string) error {
	out := run{Results: []result{}}
	out.Tool.Driver = driver{Name: "sluice", Version: release, InformationURI: project}
	index := map[string]int{}
	for i, c := range lint.Checks() {
		index[c.Name] = i
		d := descriptor{ID: c.Name, ShortDescription: text{c.Doc}, HelpURI: page + "#" + c.Name}
		d.Configuration.Level = string(c.Severities[0])
		out.Tool.Driver.Rules = append(out.Tool.Driver.Rules, d)
	}
	for i := range r.Findings {
		out.Results = append(out.Results, resultOf(&r.Findings[i], index))
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(document{schema, version, []run{out}}); err != nil {
		return fmt.Errorf("writing SARIF: %w", err)
	}
	return nil
}

func resultOf(f *query.Finding, index map[string]int) result {
	out := result{RuleID: f.Check, RuleIndex: index[f.Check], Level: string(f.Severity), Message: text{message(f)}}
	var at location
	if name := strings.Trim(f.Policy+" "+f.Field, " "); name != "" {
		at.Logical = []logical{{name}}
	}
	if f.Place.Line > 0 {
		at.Physical = &physical{}
		at.Physical.Artifact.URI = uri(f.Place.File)
		at.Physical.Region.StartLine = f.Place.Line
	}
	if at.Physical != nil || at.Logical != nil {
		out.Locations = []location{at}
	}
	return out
}

func message(f *query.Finding) string {
	out := f.Message
	if f.Field != "" {
		out = f.Field + ": " + out
	}
	if f.Detail != "" {
		out += " (" + f.Detail + ")"
	}
	if f.Fix != "" {
		out += ". Fix: " + f.Fix
	}
	return out
}

// uri returns a reference to a file. A relative path remains relative, so that a service finds the
// file in its repository.
func uri(file string) string {
	path := filepath.ToSlash(filepath.Clean(file))
	if strings.HasPrefix(path, "/") {
		return (&url.URL{Scheme: "file", Path: path}).String()
	}
	return (&url.URL{Path: path}).String()
}
