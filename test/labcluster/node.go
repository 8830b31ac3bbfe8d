package labcluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/enforcer/desired"
	"github.com/sluicenet/sluice/test/kube"
	"github.com/sluicenet/sluice/test/lab"
	"github.com/sluicenet/sluice/test/process"
)

// Node is a node of the cluster. An agent and a dataplane run on it.
type Node struct {
	cluster *Cluster
	host    *lab.Node
	// podsMu ensures that only one call at a time adds a pod to the node or removes a pod from the
	// node.
	podsMu   sync.Mutex
	services *lab.Services

	// stateDir, cniResults and credentials are the paths of directories on this machine. The
	// containers of the node's pod mount these directories.
	stateDir, cniResults, credentials string
	link                              *kube.Link
	apiServer                         *rest.Config

	agent, dataplane *process.Process
	// emptyDirs is the number of directories that the method `emptyDir` has created. For each
	// volume name, the map `health` contains the newest of these directories. Health checks use
	// this directory.
	emptyDirs int
	health    map[string]string
}

func (c *Cluster) addNode(ctx context.Context) (*Node, error) {
	name := fmt.Sprintf("node-%d", len(c.nodes)+1)
	n := &Node{cluster: c, health: map[string]string{}}
	var err error
	if n.host, err = c.lab.AddNode(name); err != nil {
		return nil, err
	}
	if err := c.registerNode(ctx, n); err != nil {
		return nil, fmt.Errorf("registering %s: %w", name, err)
	}
	if n.stateDir, err = c.server.Folder(name + "-state"); err != nil {
		return nil, err
	}
	// Use the mode that a kubelet uses for the directory of a hostPath volume.
	if err := os.Chmod(n.stateDir, 0o755); err != nil {
		return nil, err
	}
	if n.cniResults, err = c.server.Folder(name + "-cni-results"); err != nil {
		return nil, err
	}
	if err := n.admit(ctx); err != nil {
		return nil, errors.Join(err, n.close())
	}
	if err := errors.Join(n.Prepare(), n.StartDataplane(), n.StartAgent()); err != nil {
		return nil, errors.Join(err, n.close())
	}
	return n, nil
}

// registerNode creates the Node object, as the kubelet does on a real node.
func (c *Cluster) registerNode(ctx context.Context, n *Node) error {
	object := &corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Name:   n.Name(),
		Labels: map[string]string{corev1.LabelHostname: n.Name(), corev1.LabelOSStable: "linux"},
	}}
	if err := c.client.Create(ctx, object); err != nil {
		return err
	}
	for _, a := range n.host.Addresses() {
		object.Status.Addresses = append(object.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: a.String()})
	}
	object.Status.Addresses = append(object.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeHostName, Address: n.Name()})
	object.Status.Capacity = corev1.ResourceList{corev1.ResourcePods: *resource.NewQuantity(110, resource.DecimalSI)}
	object.Status.Conditions = []corev1.NodeCondition{{
		Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "LabReady", Message: "the kubelet of the lab runs",
		LastTransitionTime: metav1.Now(), LastHeartbeatTime: metav1.Now(),
	}}
	if err := c.client.Status().Update(ctx, object); err != nil {
		return err
	}
	// The API server adds a taint to new nodes, because they are not ready. Remove this
	// taint, because the lab has no controller that does so.
	object.Spec.Taints = nil
	return c.client.Update(ctx, object)
}

// Name returns the name of the node. The Node object has the same name.
func (n *Node) Name() string { return n.host.Name() }

// Host returns the host in the lab that represents the node.
func (n *Node) Host() *lab.Node { return n.host }

// StateDir returns the path of the state directory that the agent and the dataplane share.
func (n *Node) StateDir() string { return n.stateDir }

// CNIResults returns the path of the directory that represents the directory
// /var/lib/cni/results of the node.
func (n *Node) CNIResults() string { return n.cniResults }

// Link returns the TCP proxy through which the agent connects to the API server.
func (n *Node) Link() *kube.Link { return n.link }

// Agent returns the agent process that was started most recently.
func (n *Node) Agent() *process.Process { return n.agent }

// Dataplane returns the dataplane process that was started most recently.
func (n *Node) Dataplane() *process.Process { return n.dataplane }

// StartAgent starts an agent on the node. The previous agent must have ended before the call.
func (n *Node) StartAgent() (err error) {
	n.agent, err = n.startContainer(&n.cluster.pod, n.cluster.pod.Spec.Containers, "agent")
	return err
}

// StartDataplane starts a dataplane on the node. If another dataplane is running, the new
// dataplane takes over from the running one.
func (n *Node) StartDataplane() (err error) {
	n.dataplane, err = n.startContainer(&n.cluster.pod, n.cluster.pod.Spec.Containers, "dataplane")
	return err
}

// Prepare runs the init containers of the node's pod.
func (n *Node) Prepare() error {
	for _, c := range n.cluster.pod.Spec.InitContainers {
		p, err := n.startContainer(&n.cluster.pod, n.cluster.pod.Spec.InitContainers, c.Name)
		if err != nil {
			return err
		}
		if err := p.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// StartUninstall starts an uninstall process on the node. The operator starts the same process
// when the Enforcer has been deleted.
func (n *Node) StartUninstall() (*process.Process, error) {
	pod := desired.UninstallPod(&v1alpha1.Enforcer{Spec: n.cluster.options.Spec}, podImage)
	return n.startContainer(&pod, pod.Spec.Containers, "uninstall")
}

// admit creates the link from the node to the API server, and the credentials of the node's
// agent.
func (n *Node) admit(ctx context.Context) error {
	config, err := n.cluster.agentConfig(ctx, n.Name())
	if err != nil {
		return fmt.Errorf("admitting the agent of %s: %w", n.Name(), err)
	}
	if n.link, n.apiServer, err = kube.NewLink(config, n.listen); err != nil {
		return err
	}
	n.credentials, err = n.cluster.server.Folder(n.Name() + "-credentials")
	if err != nil {
		return err
	}
	return writeCredentials(n.credentials, config)
}

// listen opens a listener in the network namespace of the node.
func (n *Node) listen(network, address string) (listener net.Listener, err error) {
	err = n.host.Do(func() (err error) {
		listener, err = net.Listen(network, address)
		return err
	})
	return listener, err
}

func (n *Node) close() error {
	var errs []error
	for _, p := range []*process.Process{n.agent, n.dataplane} {
		if p != nil {
			errs = append(errs, p.Stop())
		}
	}
	if n.link != nil {
		errs = append(errs, n.link.Cut())
	}
	return errors.Join(errs...)
}
