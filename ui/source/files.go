package source

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/sluicenet/sluice/dataplane/report"
	dataplane "github.com/sluicenet/sluice/dataplane/status"
	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/manifest"
	"github.com/sluicenet/sluice/query/hits"
	"github.com/sluicenet/sluice/query/status"
)

// Files reads manifests. If StateDir is set, it also reads the flows of the dataplane that uses this
// state directory.
type Files struct {
	// Title is the name of the source. If it is empty, the name is the list of paths.
	Title    string
	StateDir string
	paths    []string
	input    []byte
}

// NewFiles returns a source for files and directories. If a path is "-", it reads the manifests of
// standard input immediately.
func NewFiles(paths []string, stdin io.Reader) (*Files, error) {
	f := &Files{paths: paths}
	if slices.Contains(paths, "-") {
		var err error
		if f.input, err = io.ReadAll(stdin); err != nil {
			return nil, fmt.Errorf("reading standard input: %w", err)
		}
	}
	return f, nil
}

// Name returns the title or the paths.
func (f *Files) Name() string { return cmp.Or(f.Title, strings.Join(f.paths, ", ")) }

// Objects reads the files again.
func (f *Files) Objects(context.Context) (*inventory.Set, error) {
	set, err := manifest.Read(f.paths, bytes.NewReader(f.input))
	if err != nil {
		return nil, err
	}
	return planned(set), nil
}

// Reports returns ErrNoReports.
func (f *Files) Reports(context.Context) (*status.Reports, error) { return nil, ErrNoReports }

// Hits reads the counters of the dataplane that uses the state directory. If no state directory is
// set, there are no counters.
func (f *Files) Hits(ctx context.Context, _ []string) ([]hits.Node, error) {
	if f.StateDir == "" {
		return nil, nil
	}
	s, err := dataplane.ReadHits(ctx, f.StateDir)
	if err != nil {
		return nil, err
	}
	return []hits.Node{hits.NodeOf(s.Node, &s)}, nil
}

// Manifest returns the lines of the file that contain the policy.
func (f *Files) Manifest(_ context.Context, p *inventory.Policy) (*Manifest, error) {
	content := f.input
	if _, err := os.Stat(p.Origin.File); err == nil {
		if content, err = os.ReadFile(p.Origin.File); err != nil {
			return nil, fmt.Errorf("reading the policy: %w", err)
		}
	}
	return &Manifest{File: p.Origin.File, Line: max(p.Origin.Line, 1), Text: cutObject(string(content), p.Origin.Line)}, nil
}

// cutObject returns the lines of one object. The object begins on the given line. It ends before the
// next document, or before the next item if it is an item of a list. An item is indented as if it
// were a document.
func cutObject(content string, line int) string {
	lines := strings.SplitAfter(content, "\n")
	lines = lines[min(max(line-1, 0), len(lines)):]
	for len(lines) > 0 && strings.TrimSpace(lines[0]) == "---" {
		lines = lines[1:]
	}
	if len(lines) == 0 {
		return ""
	}
	indent := len(lines[0]) - len(strings.TrimLeft(lines[0], " "))
	item := strings.HasPrefix(lines[0][indent:], "- ")
	var out strings.Builder
	for i, l := range lines {
		depth := len(l) - len(strings.TrimLeft(l, " "))
		blank := strings.TrimSpace(l) == ""
		if strings.HasPrefix(l, "---") || i > 0 && item && !blank && depth <= indent {
			break
		}
		if item && len(l) >= indent+2 {
			l = l[indent+2:]
		}
		out.WriteString(l)
	}
	return strings.TrimRight(out.String(), "\n ") + "\n"
}

// retry is the time between two attempts to open a stream.
const retry = time.Second

// Flows reads the flows of the dataplane that uses the state directory. If no state directory is set,
// there are no flows.
func (f *Files) Flows(ctx context.Context, handle func(node string, e *report.Event), note func(Note)) {
	if f.StateDir == "" {
		note(Note{Message: "Manifests have no flows. Run kubectl sluice ui on a cluster to see flows."})
		return
	}
	for ctx.Err() == nil {
		err := dataplane.Flows(ctx, f.StateDir, false, func() { note(Note{Listening: true}) }, func(e *report.Event) error {
			handle("", e)
			return nil
		})
		if errors.Is(err, context.Canceled) {
			return
		}
		note(Note{Message: err.Error()})
		pause(ctx, retry)
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
