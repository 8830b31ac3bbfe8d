package install_test

import (
	"testing"
	"time"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/loader"
	"helm.sh/helm/v4/pkg/cli"
	"helm.sh/helm/v4/pkg/kube"
	release "helm.sh/helm/v4/pkg/release/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	sigsyaml "sigs.k8s.io/yaml"
)

const (
	name      = "sluice"
	namespace = "sluice-system"
	// timeout limits the hooks. They end within seconds.
	timeout = 2 * time.Minute
)

// configuration returns the configuration of one call of helm.
func configuration(t *testing.T) *action.Configuration {
	t.Helper()
	t.Setenv("KUBECACHEDIR", t.TempDir())
	settings := cli.New()
	settings.KubeConfig = server.Kubeconfig(t)
	settings.SetNamespace(namespace)
	c := action.NewConfiguration()
	must(t, c.Init(settings.RESTClientGetter(), namespace, "secret"))
	return c
}

func parse(t *testing.T, text string) map[string]any {
	t.Helper()
	values := map[string]any{}
	must(t, sigsyaml.Unmarshal([]byte(text), &values))
	return values
}

// install runs `helm install --create-namespace`.
func install(t *testing.T, values string) {
	t.Helper()
	chart, err := loader.Load(root + "/charts/sluice")
	must(t, err)
	i := action.NewInstall(configuration(t))
	i.ReleaseName, i.Namespace, i.CreateNamespace = name, namespace, true
	i.WaitStrategy, i.Timeout = kube.HookOnlyStrategy, timeout
	_, err = i.Run(chart, parse(t, values))
	must(t, err)
}

// upgrade runs `helm upgrade`.
func upgrade(t *testing.T, values string) error {
	t.Helper()
	chart, err := loader.Load(root + "/charts/sluice")
	must(t, err)
	u := action.NewUpgrade(configuration(t))
	u.Namespace, u.WaitStrategy, u.Timeout = namespace, kube.HookOnlyStrategy, timeout
	_, err = u.Run(name, chart, parse(t, values))
	return err
}

// uninstall runs `helm uninstall`, with `--no-hooks` if hooks is false.
func uninstall(t *testing.T, hooks bool) error {
	t.Helper()
	u := action.NewUninstall(configuration(t))
	u.WaitStrategy, u.Timeout, u.DisableHooks = kube.HookOnlyStrategy, timeout, !hooks
	_, err := u.Run(name)
	return err
}

// hooks returns the objects of all hooks that `helm install --dry-run=server` prints.
func hooks(t *testing.T, values string) []*unstructured.Unstructured {
	t.Helper()
	chart, err := loader.Load(root + "/charts/sluice")
	must(t, err)
	i := action.NewInstall(configuration(t))
	i.ReleaseName, i.Namespace, i.DryRunStrategy, i.WaitStrategy = name, namespace, action.DryRunServer, kube.HookOnlyStrategy
	out, err := i.Run(chart, parse(t, values))
	must(t, err)
	var objects []*unstructured.Unstructured
	for _, hook := range out.(*release.Release).Hooks {
		object := &unstructured.Unstructured{}
		must(t, sigsyaml.Unmarshal([]byte(hook.Manifest), &object.Object))
		objects = append(objects, object)
	}
	return objects
}
