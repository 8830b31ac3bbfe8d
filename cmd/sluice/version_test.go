package main

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

func TestVersion(t *testing.T) {
	var out bytes.Buffer
	if code := run([]string{"--version"}, nil, &out, &out); code != 0 {
		t.Fatalf("exit %d: %s", code, out.String())
	}
	want := regexp.MustCompile(`^sluice development(, commit [0-9a-f]{12}( with changes)?)?, go1\.\S+, linux/\w+\n$`)
	if !want.Match(out.Bytes()) {
		t.Errorf("it prints %q, want it like %s", out.String(), want)
	}
}

// TestVersionsOfACluster checks that sluice version shows the versions that the objects of the
// operator and the agents contain.
func TestVersionsOfACluster(t *testing.T) {
	c := server.Client(t)
	enforcer := &v1alpha1.Enforcer{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.EnforcerName}}
	create(t, c, enforcer)
	enforcer.Status = v1alpha1.EnforcerStatus{OperatorVersion: "v1.2.0"}
	updateStatus(t, c, enforcer)
	for name, dataplane := range map[string]string{"node-a": "v1.2.0", "node-b": "", "node-c": "v1.2.0"} {
		node := &v1alpha1.NodeEnforcer{ObjectMeta: metav1.ObjectMeta{Name: name}}
		create(t, c, node)
		node.Status.Versions = v1alpha1.NodeVersions{Agent: "v1.2.0", Dataplane: dataplane}
		updateStatus(t, c, node)
	}
	kubeconfig := kubeconfigOf(t, server.Config(), "")
	versions := func(args ...string) string {
		code, stdout, stderr := sluiceAs("kubectl-sluice", "", append([]string{"version", "--kubeconfig", kubeconfig}, args...)...)
		if code != exitDone {
			t.Errorf("%v: exit %d: %s", args, code, stderr)
		}
		return stdout
	}
	text := versions()
	for _, want := range []string{
		"client      development", "\ncluster     here\n", "\nkubernetes  v1.", "\noperator    v1.2.0\n",
		"\nNODES  AGENT   DATAPLANE\n", "\n    2  v1.2.0  v1.2.0\n", "\n    1  v1.2.0  .\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if wide := versions("-o", "wide"); !strings.HasSuffix(wide, "\nNODE    AGENT   DATAPLANE\nnode-a  v1.2.0  v1.2.0\nnode-b  v1.2.0  .\nnode-c  v1.2.0  v1.2.0\n") {
		t.Errorf("wide:\n%s", wide)
	}
	var v struct {
		Client, Operator any
		Nodes            []struct{ Name, Agent, Dataplane string }
	}
	if err := yaml.Unmarshal([]byte(versions("-o", "yaml")), &v); err != nil || v.Operator != "v1.2.0" || len(v.Nodes) != 3 || v.Nodes[1].Name != "node-b" {
		t.Errorf("%v: %+v", err, v)
	}
	if text := versions("--client"); strings.Count(text, "\n") != 1 || !strings.HasPrefix(text, "client  development") {
		t.Errorf("with --client:\n%s", text)
	}
	code, stdout, stderr := sluice("", "version", "--server", "https://127.0.0.1:1")
	if code != exitFailed || !strings.HasPrefix(stdout, "client") || !strings.Contains(stderr, "connection refused") {
		t.Errorf("without an API server: exit %d: %s%s", code, stdout, stderr)
	}
}
