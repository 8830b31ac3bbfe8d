package install_test

import (
	"testing"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/cli"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

// TestHelm3 installs, upgrades and uninstalls the chart with Helm 3. Helm 3 does not use
// server-side apply. Unlike Helm 4, it ignores existing CustomResourceDefinitions during an
// installation, so the hook must update them.
func TestHelm3(t *testing.T) {
	c, jobs := newCluster(t), startJobs(t)
	chart, err := loader.Load(root + "/charts/sluice")
	must(t, err)
	configuration := func() *action.Configuration {
		t.Setenv("KUBECACHEDIR", t.TempDir())
		settings := cli.New()
		settings.KubeConfig = server.Kubeconfig(t)
		settings.SetNamespace(namespace)
		c := &action.Configuration{}
		must(t, c.Init(settings.RESTClientGetter(), namespace, "secret", t.Logf))
		return c
	}
	install := func() {
		i := action.NewInstall(configuration())
		i.ReleaseName, i.Namespace, i.CreateNamespace, i.Timeout = name, namespace, true, timeout
		_, err := i.Run(chart, nil)
		must(t, err)
	}
	uninstall := func() {
		u := action.NewUninstall(configuration())
		u.Timeout = timeout
		_, err := u.Run(name)
		must(t, err)
	}
	install()
	c.wantJobs(jobs)
	startOperator(t)
	c.daemonSet("sluice")
	c.makeDefinitionOlder()
	u := action.NewUpgrade(configuration())
	u.Namespace, u.Timeout = namespace, timeout
	_, err = u.Run(name, chart, parse(t, "enforcer: {spec: {denyAction: Reject}}"))
	must(t, err)
	c.wantJobs(jobs, updateJob)
	if got := c.enforcer().Spec.DenyAction; got != v1alpha1.DenyReject {
		t.Errorf("after the upgrade, denyAction is %s", got)
	}
	uninstall()
	c.wantJobs(jobs, uninstallJob)

	c.makeDefinitionOlder()
	install()
	c.wantJobs(jobs, updateJob)
	uninstall()
	c.wantJobs(jobs, uninstallJob)
	c.wantLeft()
}
