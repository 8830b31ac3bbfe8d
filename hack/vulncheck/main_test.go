package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const output = `
{"config": {"protocol_version": "v1.0.0"}}
{"osv": {"id": "GO-1"}}
{"finding": {"osv": "GO-1", "fixed_version": "v1.2.4", "trace": [{"module": "example.com/a", "version": "v1.2.3"}]}}
{"finding": {"osv": "GO-2", "fixed_version": "v1.26.9", "trace": [{"module": "stdlib", "version": "v1.26.8", "function": "F"}]}}
{"finding": {"osv": "GO-2", "fixed_version": "v1.26.9", "trace": [{"module": "stdlib", "version": "v1.26.8", "function": "G"}]}}
`

const inModule = `{"finding": {"osv": "GO-3", "trace": [{"module": "example.com/a", "version": "v1.2.3", "function": "F"}]}}`

// inBoth is the output for one vulnerability that is both in the standard library and in a module.
// govulncheck prints its findings in random order.
const inBoth = `
{"finding": {"osv": "GO-4", "fixed_version": "v1.26.9", "trace": [{"module": "stdlib", "version": "v1.26.8", "function": "F"}]}}
{"finding": {"osv": "GO-4", "fixed_version": "v0.2.0", "trace": [{"module": "example.com/b", "version": "v0.1.0", "function": "F"}]}}`

func TestOnlyReachableVulnerabilitiesOfModulesFail(t *testing.T) {
	for name, c := range map[string]struct {
		output, want string
		fails        bool
	}{
		"standard library": {
			output,
			"https://pkg.go.dev/vuln/GO-2 in stdlib v1.26.8, fixed in v1.26.9\n" +
				"vulncheck: 0 reachable vulnerabilities in modules, 1 in the standard library of this Go\n",
			false,
		},
		"module": {
			inModule,
			"https://pkg.go.dev/vuln/GO-3 in example.com/a v1.2.3, fixed in no version\n" +
				"vulncheck: 1 reachable vulnerabilities in modules, 0 in the standard library of this Go\n",
			true,
		},
		"both": {
			inBoth,
			"https://pkg.go.dev/vuln/GO-4 in example.com/b v0.1.0, fixed in v0.2.0\n" +
				"https://pkg.go.dev/vuln/GO-4 in stdlib v1.26.8, fixed in v1.26.9\n" +
				"vulncheck: 1 reachable vulnerabilities in modules, 1 in the standard library of this Go\n",
			true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := reached(strings.NewReader(c.output))
			if err != nil {
				t.Fatal(err)
			}
			var printed bytes.Buffer
			if err := report(&printed, found); (err != nil) != c.fails {
				t.Errorf("error %v, want an error: %t", err, c.fails)
			}
			if diff := cmp.Diff(c.want, printed.String()); diff != "" {
				t.Errorf("report (-want +got):\n%s", diff)
			}
		})
	}
}
