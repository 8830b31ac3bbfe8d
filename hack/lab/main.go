// Command lab runs a cluster on this machine until the user presses Ctrl-C (`make lab`). The
// subcommand `lab probe` opens connections in the running cluster:
//
//	lab [--nodes N] [--deny Drop|Reject] [--sluice PATH]
//	lab probe FROM TO PORT[/PROTOCOL]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-logr/logr"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/live"
	"github.com/sluicenet/sluice/test/labcluster"
	"github.com/sluicenet/sluice/ui"
	"github.com/sluicenet/sluice/ui/source"
)

func main() {
	ctrllog.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return
	case !errors.Is(err, errDenied): // The output shows it already.
		fmt.Fprintln(os.Stderr, "lab:", err)
	}
	os.Exit(1)
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == "probe" {
		return requestProbe(ctx, args[1:])
	}
	flags := flag.NewFlagSet("lab", flag.ContinueOnError)
	nodes := flags.Int("nodes", 3, "`number` of nodes")
	deny := flags.String("deny", "Drop", "`Drop|Reject`: the action of nodes for denied connections")
	program := flags.String("sluice", "bin/sluice", "`path` of the binary that nodes run")
	if err := flags.Parse(args); err != nil {
		return err
	}
	fmt.Printf("starting etcd, kube-apiserver and %d nodes\n", *nodes)
	cluster, err := labcluster.New(ctx, labcluster.Options{Program: *program, Nodes: *nodes, Spec: v1alpha1.EnforcerSpec{DenyAction: v1alpha1.DenyAction(*deny)}})
	if err != nil {
		return err
	}
	err = serve(ctx, cluster)
	fmt.Println("\nstopping")
	return errors.Join(err, cluster.Close())
}

// serve prints instructions for the use of the cluster, and serves requests for probes until
// the context ends.
func serve(ctx context.Context, cluster *labcluster.Cluster) error {
	server, err := serveProbes(cluster)
	if err != nil {
		return err
	}
	defer func() { _ = server.Close() }()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	fmt.Printf(welcome, cluster.Kubeconfig(), self)
	for _, n := range cluster.Nodes() {
		fmt.Printf("  %s   agent %d, dataplane %d   sluice status --state-dir %s\n", n.Name(), n.Agent().PID(), n.Dataplane().PID(), n.StateDir())
	}
	page, err := servePage(ctx, cluster)
	if err != nil {
		return err
	}
	defer func() { _ = page.Close() }()
	fmt.Printf("\nThe web page, for one browser: %s\n", page.URL())
	fmt.Println("\nPress Ctrl-C to stop and remove the cluster.")
	<-ctx.Done()
	return nil
}

// servePage serves the web page of sluice ui for the cluster.
func servePage(ctx context.Context, cluster *labcluster.Cluster) (*ui.Server, error) {
	connection, err := live.Connect(live.Options{Kubeconfig: cluster.Kubeconfig()})
	if err != nil {
		return nil, err
	}
	return ui.Start(ctx, source.NewCluster(connection, nil), 0)
}

const welcome = `
The cluster runs. You can use it in another terminal, as root:

  export KUBECONFIG=%[1]s
  kubectl get nodes,nodeenforcers
  kubectl apply -f cmd/sluice-demo/example
  kubectl get pods -A -o wide
  %[2]s probe default/frontend default/db 6379
  %[2]s probe default/dns default/db 6379
  kubectl delete networkpolicy --all

A pod serves each of its containerPorts, over TCP, UDP or SCTP. A pod with a nodeName
runs on that node. Other pods are distributed over the nodes in turn.

`
