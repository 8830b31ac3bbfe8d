package read_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicenet/sluice/policy/read"
)

func TestBlanks(t *testing.T) {
	tests := map[string]struct {
		policy string
		want   []string
	}{
		"nothing":             {`{"spec":{"podSelector":{},"ingress":[{"from":[{"podSelector":{}}],"ports":[{"port":80}]}]}}`, nil},
		"null and empty":      {`{"spec":{"egress":[],"ingress":[{"from":null,"ports":[]},{"from":[],"ports":[{"port":null,"protocol":"UDP"},{"protocol":"TCP"}]}]}}`, []string{"spec.ingress[0].from", "spec.ingress[0].ports", "spec.ingress[1].from", "spec.ingress[1].ports[0].port", "spec.egress"}},
		"a rule without keys": {`{"spec":{"ingress":[{}]}}`, nil},
		"a wrong type":        {`{"spec":{"ingress":{"from":[]}}}`, nil},
		"no object":           {`[]`, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, read.Blanks([]byte(test.policy))); diff != "" {
				t.Errorf("fields (-want +got):\n%s", diff)
			}
		})
	}
}
