package main

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluicenet/sluice/test/golden"
)

// sluice runs the program in this process. It returns the exit code and the output.
func sluice(stdin string, args ...string) (code int, stdout, stderr string) {
	return sluiceAs("sluice", stdin, args...)
}

// sluiceAs runs the program in this process, as if the program had been started with the
// given name.
func sluiceAs(name, stdin string, args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = runAs(name, args, strings.NewReader(stdin), &out, &err)
	return code, out.String(), err.String()
}

// transcript runs the program and returns the text that a terminal would show: the command
// line, the notes, and the output. If the exit code is not 0, the text also contains the exit
// code.
func transcript(args ...string) string {
	code, stdout, stderr := sluice("", args...)
	text := "$ sluice " + strings.Join(args, " ") + "\n" + stderr + stdout
	if code != 0 {
		text += fmt.Sprintf("[exit %d]\n", code)
	}
	return text
}

// TestGolden runs explain, matrix and lint with the pods of testdata/cluster.yaml and with
// each example from the NetworkPolicy page of the Kubernetes documentation. It compares the
// output with testdata/*.golden. The flag -update rewrites these files.
func TestGolden(t *testing.T) {
	explained := map[string][][]string{
		"test-network-policy": {
			{"--from", "frontend", "--to", "db", "--port", "6379"},
			{"--from", "worker", "--to", "db", "--port", "6379"},
			{"--from", "172.17.2.5", "--to", "db", "--port", "redis"},
			{"--from", "172.17.1.5", "--to", "db", "--port", "6379"},
			{"--from", "frontend", "--to", "db", "--port", "80"},
			{"--from", "alice/client", "--to", "db", "--port", "6379", "--protocol", "UDP"},
			{"--from", "db", "--to", "10.0.0.7", "--port", "5978"},
			{"--from", "db", "--to", "frontend", "--port", "5978"},
			{"--from", "db", "--to", "db", "--protocol", "ICMP"},
			{"--from", "frontend", "--to", "db", "--port", "80", "-o", "json"},
		},
		"one-entry": {
			{"--from", "alice/client", "--to", "db", "--port", "6379"},
			{"--from", "default/client", "--to", "db", "--port", "6379"},
		},
		"two-entries": {
			{"--from", "alice/other", "--to", "db", "--port", "6379"},
			{"--from", "default/client", "--to", "db", "--port", "6379"},
			{"--from", "frontend", "--to", "db", "--port", "6379"},
		},
		"default-deny-ingress": {{"--from", "frontend", "--to", "db", "--port", "6379"}},
		"allow-all-ingress":    {{"--from", "203.0.113.7", "--to", "db", "--protocol", "ICMP"}},
		"default-deny-egress":  {{"--from", "frontend", "--to", "worker", "--port", "80"}},
		"allow-all-egress":     {{"--from", "frontend", "--to", "2001:db8::1", "--port", "443"}},
		"default-deny-all":     {{"--from", "frontend", "--to", "db", "--port", "6379"}},
		"sctp": {
			{"--from", "frontend", "--to", "db", "--port", "7777", "--protocol", "SCTP"},
			{"--from", "frontend", "--to", "db", "--port", "7777"},
		},
	}
	for name, questions := range explained {
		t.Run(name, func(t *testing.T) {
			manifests := []string{"-f", "testdata/cluster.yaml", "-f", "testdata/" + name + ".yaml"}
			var got []string
			for _, question := range questions {
				got = append(got, transcript(append(append([]string{"explain"}, manifests...), question...)...))
			}
			port := []string{"--port", "6379"}
			if name == "sctp" {
				port = []string{"--port", "7777", "--protocol", "SCTP"}
			}
			got = append(got,
				transcript(append(append([]string{"matrix"}, manifests...), port...)...),
				transcript(append([]string{"lint"}, manifests...)...))
			golden.Compare(t, filepath.Join("testdata", name+".golden"), strings.Join(got, "\n"))
		})
	}
}
