package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/test/cluster"
)

// completed returns what a shell offers for the last argument.
func completed(t *testing.T, program string, args ...string) []string {
	t.Helper()
	code, stdout, stderr := sluiceAs(program, "", append([]string{"__completeNoDesc"}, args...)...)
	if code != exitDone {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	return lines[:len(lines)-1] // The last line contains the directive.
}

func TestCompletionOfWords(t *testing.T) {
	manifests := writeFile(t, "two.yaml", cluster.TwoNodes+deploymentManifest)
	kubeconfig := kubeconfigOf(t, server.Config(), "")
	for name, test := range map[string]struct{ args, want []string }{
		"commands":         {[]string{"expl"}, []string{"explain"}},
		"formats":          {[]string{"lint", "-o", ""}, []string{"text", "wide", "json", "yaml", "sarif"}},
		"a format":         {[]string{"lint", "-o", "sa"}, []string{"sarif"}},
		"a check":          {[]string{"lint", "--ignore", "no-dns,host-b"}, []string{"no-dns,host-bits"}},
		"severities":       {[]string{"lint", "--fail-on", ""}, []string{"error", "warning", "note", "never"}},
		"a verdict":        {[]string{"explain", "--expect", ""}, []string{"allow", "deny"}},
		"protocols":        {[]string{"matrix", "--protocol", "S"}, []string{"SCTP"}},
		"failure policies": {[]string{"dataplane", "--failure-policy", ""}, []string{"Closed", "Open"}},
		"denials":          {[]string{"dataplane", "--deny", ""}, []string{"Drop", "Reject"}},
		"log levels":       {[]string{"agent", "--log-level", ""}, []string{"error", "info", "debug"}},
		"shells":           {[]string{"completion", ""}, []string{"bash", "zsh", "fish", "powershell", "kubectl"}},
		"contexts":         {[]string{"lint", "--kubeconfig", kubeconfig, "--context", ""}, []string{"here"}},
		"users":            {[]string{"lint", "--kubeconfig", kubeconfig, "--user", ""}, []string{"me"}},
		"clusters":         {[]string{"lint", "--kubeconfig", kubeconfig, "--cluster", ""}, []string{"here"}},
		"pods in files":    {[]string{"explain", "-f", manifests, "--from", ""}, []string{"default/db", "default/deploy/api", "default/web"}},
		"in a namespace":   {[]string{"explain", "-f", manifests, "-n", "default", "--from", ""}, []string{"db", "deploy/api", "web"}},
		"with a namespace": {[]string{"explain", "-f", manifests, "--from", "default/w"}, []string{"default/web"}},
		"Services":         {[]string{"explain", "-f", manifests, "-n", "default", "--to", "svc/"}, []string{"svc/api"}},
		"no Services":      {[]string{"explain", "-f", manifests, "-n", "default", "--from", "svc/"}, nil},
		"namespaces":       {[]string{"matrix", "-f", manifests, "-n", ""}, []string{"default"}},
		"no cluster":       {[]string{"matrix", "-n", ""}, nil},
		"no arguments":     {[]string{"matrix", ""}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := completed(t, "sluice", test.args...)
			if diff := cmp.Diff(test.want, got, equateEmpty); diff != "" {
				t.Errorf("completions (-want +got):\n%s", diff)
			}
		})
	}
}

// equateEmpty treats nil and empty lists as equal.
var equateEmpty = cmp.Transformer("words", func(words []string) string { return strings.Join(words, " ") })

const deploymentManifest = `
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: default}
spec: {selector: {matchLabels: {app: api}}, template: {metadata: {labels: {app: api}}, spec: {containers: []}}}
---
apiVersion: v1
kind: Service
metadata: {name: api, namespace: default}
spec: {selector: {app: api}, ports: [{port: 80}]}
`

// TestCompletionInACluster checks that names of objects come from the selected cluster.
func TestCompletionInACluster(t *testing.T) {
	namespace, _ := shop(t)
	c := server.Client(t)
	create(t, c, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "db"},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 5432}}},
	})
	kubeconfig := kubeconfigOf(t, server.Config(), namespace)
	complete := func(args ...string) []string {
		return completed(t, "kubectl-sluice", append([]string{args[0], "--kubeconfig", kubeconfig}, args[1:]...)...)
	}
	if diff := cmp.Diff([]string{"db", "other", "svc/db", "web"}, complete("explain", "--to", "")); diff != "" {
		t.Errorf("destinations (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{namespace + "/web"}, complete("explain", "--from", namespace+"/w")); diff != "" {
		t.Errorf("sources in a namespace (-want +got):\n%s", diff)
	}
	for _, command := range []string{"explain", "matrix", "lint", "flows", "check", "sysdump"} {
		if got := complete(command, "-n", namespace[:len(namespace)-1]); !slices.Contains(got, namespace) {
			t.Errorf("namespaces of %s: %v", command, got)
		}
	}
	if diff := cmp.Diff([]string{namespace + "/db", namespace + "/selects-no-pod"}, complete("diff", "--delete", namespace+"/")); diff != "" {
		t.Errorf("policies (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"node-0", "node-1"}, completed(t, "kubectl-sluice", "status", "--kubeconfig", observed(t, 2, 0), "--node", "")); diff != "" {
		t.Errorf("nodes (-want +got):\n%s", diff)
	}
}

// TestCompletionScripts checks the syntax of the scripts for the shells that are installed, and
// that kubectl can complete the arguments of the plugin with the script for kubectl.
func TestCompletionScripts(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell", "kubectl"} {
		code, script, stderr := sluice("", "completion", shell)
		if code != exitDone || len(script) < 100 {
			t.Fatalf("%s: exit %d: %s", shell, code, stderr)
		}
		if shell == "bash" {
			if output, err := exec.Command("bash", "-n", writeFile(t, "script", script)).CombinedOutput(); err != nil {
				t.Errorf("%s: %v: %s", shell, err, output)
			}
		}
	}
	if code, _, stderr := sluiceAs("kubectl-sluice", "", "completion", "bash"); code != exitWrongInput || !strings.HasPrefix(stderr, "kubectl sluice completion: give one of kubectl;") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	_, script, _ := sluiceAs("kubectl-sluice", "", "completion", "kubectl")
	path := t.TempDir()
	complete := filepath.Join(path, "kubectl_complete-sluice")
	for name, text := range map[string]string{
		"kubectl":                 "#!/bin/bash\n[ \"$1\" = sluice ] || exit 9\nshift\nexec -a kubectl-sluice " + executable(t) + " \"$@\"\n",
		"kubectl_complete-sluice": script,
	} {
		if err := os.WriteFile(filepath.Join(path, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(complete, "lint", "-o", "sa")
	cmd.Env = append(os.Environ(), asProgram+"=1", "PATH="+path+":"+os.Getenv("PATH"))
	if output, err := cmd.Output(); err != nil || !strings.HasPrefix(string(output), "sarif\n") {
		t.Errorf("%v: %s", err, output)
	}
}
