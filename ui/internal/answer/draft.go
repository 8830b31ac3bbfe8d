package answer

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/manifest"
	"github.com/sluicenet/sluice/query/diff"
	"github.com/sluicenet/sluice/query/question"
)

// draft returns the verdicts that would change if the user applied the manifests of a draft and
// deleted the listed policies. It does not change any policy.
func (s *Server) draft(v *view, r *http.Request) (any, error) {
	var in struct {
		// YAML contains manifests. It can be empty.
		YAML string `json:"yaml"`
		// Deleted contains the names of policies.
		Deleted []string `json:"deleted"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, question.Errorf("draft", "", "the request is not valid: %v", err)
	}
	set := &inventory.Set{}
	if strings.TrimSpace(in.YAML) != "" {
		var err error
		if set, err = manifest.Read([]string{"-"}, strings.NewReader(in.YAML)); err != nil {
			return nil, draftError(err)
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return diff.Of(v.set, set, in.Deleted)
}

// draftError returns the errors of a draft with their lines.
func draftError(err error) error {
	var all inventory.Errors
	if !errors.As(err, &all) {
		return question.Errorf("draft", "", "%v", err)
	}
	var lines []string
	for _, e := range all {
		text := e.Message
		if e.Field != "" {
			text = e.Field + ": " + text
		}
		lines = append(lines, fmt.Sprintf("line %d: %s", e.Origin.Line, text))
	}
	return question.Errorf("", "", "%s", strings.Join(lines, "\n"))
}
