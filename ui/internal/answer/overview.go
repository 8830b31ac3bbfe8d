package answer

import (
	"errors"
	"net/http"

	"github.com/sluicenet/sluice/query"
	"github.com/sluicenet/sluice/query/status"
	"github.com/sluicenet/sluice/ui/internal/flows"
	"github.com/sluicenet/sluice/ui/source"
)

// overview is the state of the cluster in numbers.
type overview struct {
	query.TypeMeta
	Name string `json:"name"`
	// Revision increases each time an object has changed.
	Revision int `json:"revision"`
	// Error is the error of the last attempt to read the objects again. It is empty if this attempt
	// succeeded. If it is not empty, the overview describes older objects.
	Error string `json:"error,omitempty"`
	// Status is null if no cluster reports the enforcement. NoStatus then states why.
	Status   *status.Cluster `json:"status"`
	NoStatus string          `json:"noStatus,omitempty"`

	Namespaces int `json:"namespaces"`
	Pods       int `json:"pods"`
	Policies   int `json:"policies"`
	// Lint contains the findings.
	Lint *query.LintReport `json:"lint"`
	// Notes contains reasons why verdicts can differ from what the user expects.
	Notes []string `json:"notes"`
	// Minutes counts the flows of the last 30 minutes.
	Minutes []flows.Minute `json:"minutes"`
}

func (s *Server) overview(v *view, _ *http.Request) (any, error) {
	lint, err := v.findings()
	if err != nil {
		return nil, err
	}
	out := &overview{
		TypeMeta: query.NewTypeMeta("Overview"), Name: s.source.Name(), Revision: v.revision,
		Namespaces: len(v.set.Namespaces), Pods: len(v.set.Pods), Policies: len(v.set.Policies),
		Lint: lint, Minutes: s.hub.Counts(),
	}
	out.Notes = append(v.set.Notes(), v.notes()...)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		out.Error = s.err.Error()
	}
	switch {
	case s.reports.err == nil:
		out.Status = status.NewCluster(out.Name, *s.reports.Reports)
	case errors.Is(s.reports.err, source.ErrNoReports):
		out.NoStatus = "These are manifests. Run kubectl sluice ui on a cluster to see the enforcement."
	default:
		out.NoStatus = s.reports.err.Error()
	}
	return out, nil
}

func (v *view) notes() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.cluster.Notes()
}
