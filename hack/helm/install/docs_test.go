package install_test

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/loader"
	"helm.sh/helm/v4/pkg/cmd"
	"helm.sh/helm/v4/pkg/kube"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/config/objects"
)

// TestDocumentedCommands runs the helm commands in docs/install.md, in the order of the page.
func TestDocumentedCommands(t *testing.T) {
	c, jobs := newCluster(t), startJobs(t)
	c.define("monitoring.coreos.com", "ServiceMonitor", "servicemonitors", "Namespaced")
	c.define("monitoring.coreos.com", "PrometheusRule", "prometheusrules", "Namespaced")
	t.Setenv("KUBECONFIG", server.Kubeconfig(t))
	t.Setenv("KUBECACHEDIR", t.TempDir())
	page, err := os.ReadFile(root + "/docs/install.md")
	must(t, err)
	var ran []string
	for line := range strings.Lines(strings.ReplaceAll(string(page), "\\\n", "")) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "helm" {
			continue
		}
		ran = append(ran, words[1])
		for i, word := range words {
			if word == "charts/sluice" {
				words[i] = root + "/" + word
			}
		}
		var out bytes.Buffer
		helm, err := cmd.NewRootCmd(&out, words[1:], func(bool) {})
		must(t, err)
		helm.SetArgs(words[1:])
		if err := helm.ExecuteContext(t.Context()); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out.String())
		}
	}
	if got := strings.Join(ran, " "); got != "install upgrade uninstall" {
		t.Errorf("the page contains the commands %s", got)
	}
	c.wantJobs(jobs, uninstallJob)
	c.wantLeft()
}

// TestAdoptKustomizeInstallation checks that `helm install --take-ownership --force-conflicts` adopts
// an installation with kubectl, without deleting the Enforcer.
func TestAdoptKustomizeInstallation(t *testing.T) {
	c, jobs := newCluster(t), startJobs(t)
	for _, base := range []string{"config/default", "config/samples"} {
		for _, object := range build(t, base) {
			apply := client.ApplyConfigurationFromUnstructured(object)
			must(t, c.Apply(t.Context(), apply, client.FieldOwner("kubectl")))
		}
	}
	before := c.enforcer().UID
	chart, err := loader.Load(root + "/charts/sluice")
	must(t, err)
	for _, adopt := range []bool{false, true} {
		i := action.NewInstall(configuration(t))
		i.ReleaseName, i.Namespace, i.WaitStrategy, i.Timeout = name, namespace, kube.HookOnlyStrategy, timeout
		i.TakeOwnership, i.ForceConflicts = adopt, adopt
		if _, err := i.Run(chart, parse(t, "enforcer: {spec: {denyAction: Reject}}")); (err == nil) != adopt {
			t.Fatalf("take ownership %t: %v", adopt, err)
		}
	}
	if after := c.enforcer(); after.UID != before || after.DeletionTimestamp != nil || after.Spec.DenyAction != "Reject" {
		t.Errorf("the Enforcer was not adopted: %+v", after)
	}
	must(t, uninstall(t, true))
	c.wantJobs(jobs, uninstallJob)
	c.wantLeft()
}

// build returns the objects of a kustomize base.
func build(t *testing.T, base string) []*unstructured.Unstructured {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", "tool", "-modfile=hack/tools/go.mod", "kustomize", "build", base)
	command.Dir = root
	text, err := command.Output()
	must(t, err)
	out, err := objects.Decode(text)
	must(t, err)
	return out
}
