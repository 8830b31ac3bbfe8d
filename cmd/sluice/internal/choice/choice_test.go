package choice_test

import (
	"testing"

	"github.com/sluicenet/sluice/cmd/sluice/internal/choice"
)

func TestValue(t *testing.T) {
	v := choice.New("format", "", "text", "json", "yaml")
	if v.String() != "" {
		t.Errorf("value %q before it is set", v.String())
	}
	if err := v.Set("json"); err != nil || v.String() != "json" {
		t.Errorf("value %q, error %v", v.String(), err)
	}
	if err := v.Set("xml"); err == nil || err.Error() != "want text, json or yaml" || v.String() != "json" {
		t.Errorf("value %q, error %v", v.String(), err)
	}
}
