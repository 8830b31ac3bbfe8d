// Command installer installs a packaged chart with Helm's library, like `helm install`. Tests of a
// release use it.
//
//	installer -chart FILE -kubeconfig FILE -namespace NAMESPACE
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/loader"
	"helm.sh/helm/v4/pkg/cli"
	"helm.sh/helm/v4/pkg/kube"
)

func main() {
	chart := flag.String("chart", "", "`file` of the packaged chart")
	kubeconfig := flag.String("kubeconfig", "", "kubeconfig `file`")
	namespace := flag.String("namespace", "sluice-system", "`namespace` of the release")
	flag.Parse()
	if err := install(context.Background(), *chart, *kubeconfig, *namespace); err != nil {
		fmt.Fprintln(os.Stderr, "installer:", err)
		os.Exit(1)
	}
}

// install installs the chart as the release sluice. It does not wait for the operator to run.
func install(ctx context.Context, file, kubeconfig, namespace string) error {
	chart, err := loader.Load(file)
	if err != nil {
		return fmt.Errorf("reading the chart: %w", err)
	}
	settings := cli.New()
	settings.KubeConfig = kubeconfig
	settings.SetNamespace(namespace)
	configuration := action.NewConfiguration()
	if err := configuration.Init(settings.RESTClientGetter(), namespace, "secret"); err != nil {
		return fmt.Errorf("connecting to the cluster: %w", err)
	}
	run := action.NewInstall(configuration)
	run.ReleaseName, run.Namespace, run.CreateNamespace = "sluice", namespace, true
	run.WaitStrategy = kube.HookOnlyStrategy
	if _, err := run.RunWithContext(ctx, chart, nil); err != nil {
		return fmt.Errorf("installing the chart: %w", err)
	}
	return nil
}
