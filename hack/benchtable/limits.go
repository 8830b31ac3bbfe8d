package main

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"sigs.k8s.io/yaml"
)

//go:embed limits.yaml
var limitsFile []byte

// limit is an entry of limits.yaml. A comment at the top of limits.yaml explains the fields.
type limit struct {
	What       string `json:"what"`
	Benchmark  string `json:"benchmark"`
	RelativeTo string `json:"relativeTo,omitempty"`
	Unit       string `json:"unit"`
	Max        string `json:"max,omitempty"`
	Min        string `json:"min,omitempty"`
	Seen       string `json:"seen"`
	Evidence   string `json:"evidence"`
}

// errOverLimit means that at least one result is above its maximum or below its minimum. The
// printed table marks each such result with OVER.
var errOverLimit = errors.New("a result is over its limit")

func readLimits(text []byte) ([]limit, error) {
	var out []limit
	if err := yaml.UnmarshalStrict(text, &out); err != nil {
		return nil, fmt.Errorf("reading limits: %w", err)
	}
	for _, l := range out {
		if (l.Max == "") == (l.Min == "") {
			return nil, fmt.Errorf("reading limits: %s %s: want max or min", l.Benchmark, l.Unit)
		}
		for _, text := range []string{l.Max + l.Min, l.Seen} {
			if _, err := l.parse(text); err != nil {
				return nil, fmt.Errorf("reading limits: %s %s: %w", l.Benchmark, l.Unit, err)
			}
		}
	}
	return out, nil
}

// parse parses a value from limits.yaml. A time is a Go duration, such as 1.5ms. Every other value
// is a plain number.
func (l *limit) parse(text string) (float64, error) {
	if l.RelativeTo == "" && isTime(l.Unit) {
		d, err := time.ParseDuration(text)
		return float64(d), err
	}
	return strconv.ParseFloat(text, 64)
}

// measured returns the value to compare with the limit. If RelativeTo is set, the value is a ratio:
// the result of Benchmark divided by the result of RelativeTo. If one of these benchmarks did not
// run, ok is false.
func (l *limit) measured(r *results) (value float64, ok bool) {
	value, ok = r.value(l.Benchmark, l.Unit)
	if !ok || l.RelativeTo == "" {
		return value, ok
	}
	reference, ok := r.value(l.RelativeTo, l.Unit)
	return value / reference, ok && reference != 0
}

// value returns the median of a benchmark's values in a unit. It returns false if there are no
// such values.
func (r *results) value(benchmark, unit string) (float64, bool) {
	for _, t := range r.tables {
		for _, row := range t.rows {
			if values := row.values[unit]; row.name == benchmark && len(values) > 0 {
				return median(values), true
			}
		}
	}
	return 0, false
}

// text formats a value in the notation of limits.yaml.
func (l *limit) text(value float64) string {
	if l.RelativeTo != "" {
		return strconv.FormatFloat(value, 'f', 2, 64)
	}
	return cellText(l.Unit, value)
}

// compare prints a table that contains the limits of all benchmarks that ran. It returns
// errOverLimit if a result violates its limit.
func compare(w io.Writer, limits []limit, r *results) error {
	lines := [][]string{{"limit", "", "result", "limit", "recorded", "evidence"}}
	over := false
	for _, l := range limits {
		value, ok := l.measured(r)
		if !ok {
			continue
		}
		word, bound := "at most ", l.Max
		if l.Min != "" {
			word, bound = "at least ", l.Min
		}
		border, err := l.parse(bound)
		if err != nil {
			return err
		}
		seen, err := l.parse(l.Seen)
		if err != nil {
			return err
		}
		state := "ok"
		if l.Max != "" && value > border || l.Min != "" && value < border {
			state, over = "OVER", true
		}
		lines = append(lines, []string{l.What, state, l.text(value), word + l.text(border), l.text(seen), l.Evidence})
	}
	if len(lines) == 1 {
		return nil
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	if err := printColumns(w, lines, false); err != nil {
		return err
	}
	if over {
		return errOverLimit
	}
	return nil
}
