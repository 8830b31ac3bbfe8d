package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

const (
	channel = "alpha"
	// scorecardImage contains the tests that `operator-sdk scorecard` runs.
	scorecardImage = "quay.io/operator-framework/scorecard-test:v1.42.0"
)

// annotations contains the annotations by which OLM recognizes the bundle. The bundle image has
// labels with the same names and values.
var annotations = map[string]string{
	"operators.operatorframework.io.bundle.mediatype.v1":       "registry+v1",
	"operators.operatorframework.io.bundle.manifests.v1":       "manifests/",
	"operators.operatorframework.io.bundle.metadata.v1":        "metadata/",
	"operators.operatorframework.io.bundle.package.v1":         packageName,
	"operators.operatorframework.io.bundle.channels.v1":        channel,
	"operators.operatorframework.io.bundle.channel.default.v1": channel,
	"operators.operatorframework.io.test.mediatype.v1":         "scorecard+v1",
	"operators.operatorframework.io.test.config.v1":            "tests/scorecard/",
}

// metadata returns the bundle's files outside manifests/.
func metadata() map[string][]byte {
	var notes, labels strings.Builder
	notes.WriteString("annotations:\n")
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		fmt.Fprintf(&notes, "  %s: %s\n", key, annotations[key])
		fmt.Fprintf(&labels, "LABEL %s=%s\n", key, annotations[key])
	}
	return map[string][]byte{
		"metadata/annotations.yaml":   []byte(notes.String()),
		"Dockerfile":                  []byte("# The build context is this directory.\nFROM scratch\n" + labels.String() + "COPY manifests /manifests/\nCOPY metadata /metadata/\nCOPY tests/scorecard /tests/scorecard/\n"),
		"tests/scorecard/config.yaml": []byte(scorecard()),
	}
}

// scorecard returns the configuration of `operator-sdk scorecard`.
func scorecard() string {
	var out strings.Builder
	out.WriteString("apiVersion: scorecard.operatorframework.io/v1alpha3\nkind: Configuration\nmetadata:\n  name: config\nstages:\n  - parallel: true\n    tests:\n")
	for _, test := range []struct{ name, suite string }{
		{"basic-check-spec", "basic"},
		{"olm-bundle-validation", "olm"},
		{"olm-crds-have-validation", "olm"},
		{"olm-crds-have-resources", "olm"},
		{"olm-spec-descriptors", "olm"},
		{"olm-status-descriptors", "olm"},
	} {
		fmt.Fprintf(&out, "      - image: %s\n        entrypoint: [scorecard-test, %s]\n        labels:\n          suite: %s\n          test: %s-test\n",
			scorecardImage, test.name, test.suite, test.name)
	}
	return out.String()
}
