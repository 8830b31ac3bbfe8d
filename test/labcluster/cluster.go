package labcluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"sync"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/enforcer/desired"
	"github.com/sluicenet/sluice/test/kube"
	"github.com/sluicenet/sluice/test/lab"
	"github.com/sluicenet/sluice/test/process"
)

// Options configures New.
type Options struct {
	// Program is the path of the sluice binary for the nodes. The binary must be statically
	// linked, because the containers of the lab contain no libraries.
	Program string
	// Nodes is the number of nodes. The default is 3. The names of the nodes are node-1, node-2
	// and so on.
	Nodes int
	// Spec is the spec of the Enforcer. The lab renders the pod template of the nodes from this
	// spec. The function New does not set defaults for empty fields.
	Spec v1alpha1.EnforcerSpec
	// Pod returns the pod template of the nodes, for example the template that an operator has
	// created. New calls it when the API server is running. By default, the lab renders the
	// template from Spec.
	Pod func(context.Context, *Cluster) (corev1.PodTemplateSpec, error)
	// Ports returns the ports on which a container listens. By default, these are the ports
	// that the container declares.
	Ports func(*corev1.Container) ([]corev1.ContainerPort, error)
	// Log receives the messages of the scheduler, the kubelet and the namespace controller. By
	// default, the lab discards these messages.
	Log logr.Logger
}

// Cluster is a running cluster.
type Cluster struct {
	options    Options
	server     *kube.Server
	config     *rest.Config
	client     client.WithWatch
	kubeconfig string

	lab   *lab.Lab
	nodes []*Node
	// pod is the template of the pods that the nodes start.
	pod corev1.PodTemplateSpec
	// pods contains the running pods of all nodes.
	pods *pods

	// outsideMu ensures that only one call at a time adds addresses to the outside host or adds
	// services to the nodes.
	outsideMu sync.Mutex

	// commandsMu guards the `commands` field.
	commandsMu sync.Mutex
	commands   map[string]Command

	// `running` is the context of the lab's controllers. Close cancels this context with the
	// function `cancel`.
	running context.Context
	cancel  context.CancelFunc
	ended   sync.WaitGroup
	// faultMu guards the `fault` field.
	faultMu sync.Mutex
	fault   error
}

// New starts a cluster and waits until every node enforces policies. The caller must close the
// cluster. If this process ends without closing the cluster, the cluster is removed
// nevertheless.
func New(ctx context.Context, o Options) (*Cluster, error) {
	if o.Nodes == 0 {
		o.Nodes = 3
	}
	if o.Pod == nil {
		o.Pod = func(context.Context, *Cluster) (corev1.PodTemplateSpec, error) {
			return desired.Pod(&v1alpha1.Enforcer{Spec: o.Spec}, podImage), nil
		}
	}
	if o.Ports == nil {
		o.Ports = func(c *corev1.Container) ([]corev1.ContainerPort, error) { return c.Ports, nil }
	}
	if o.Log.GetSink() == nil {
		o.Log = logr.Discard()
	}
	c := &Cluster{options: o, pods: newPods()}
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context) error {
	var err error
	if c.lab, err = lab.New(); err != nil {
		return err
	}
	if c.server, err = kube.Start(); err != nil {
		return err
	}
	if err := c.connect(); err != nil {
		return err
	}
	if err := c.prepare(ctx); err != nil {
		return fmt.Errorf("preparing the cluster: %w", err)
	}
	if c.pod, err = c.options.Pod(ctx, c); err != nil {
		return fmt.Errorf("finding the pod template of the nodes: %w", err)
	}
	for range c.options.Nodes {
		n, err := c.addNode(ctx)
		if err != nil {
			return err
		}
		c.nodes = append(c.nodes, n)
	}
	if err := c.standIn(); err != nil {
		return err
	}
	return c.WaitEnforced(ctx)
}

// connect creates the client of the cluster and the administrator's kubeconfig file.
func (c *Cluster) connect() error {
	c.config = c.server.Config()
	// Disable the client's rate limit, because tests create many objects at once.
	c.config.QPS = -1
	var err error
	if c.client, err = client.NewWithWatch(c.config, client.Options{Scheme: kube.Scheme()}); err != nil {
		return fmt.Errorf("creating a client: %w", err)
	}
	folder, err := c.server.Folder("administrator")
	if err != nil {
		return err
	}
	c.kubeconfig = filepath.Join(folder, "kubeconfig")
	return writeKubeconfig(c.kubeconfig, c.config)
}

// Close stops and removes the cluster.
func (c *Cluster) Close() error {
	if c.cancel != nil {
		c.cancel()
		c.ended.Wait()
	}
	var errs []error
	for _, n := range c.nodes {
		errs = append(errs, n.close())
	}
	if c.lab != nil {
		c.lab.Close()
	}
	if c.server != nil {
		errs = append(errs, c.server.Stop())
	}
	return errors.Join(append(errs, c.fault)...)
}

// Client returns a client that has all rights and uses no cache.
func (c *Cluster) Client() client.WithWatch { return c.client }

// Config returns a configuration for clients with all rights. The caller may change the
// returned configuration, because it is a copy.
func (c *Cluster) Config() *rest.Config { return rest.CopyConfig(c.config) }

// SetProgram sets the binary for all processes that the nodes start after this call, so that a
// test can simulate an upgrade. Running processes are not affected.
func (c *Cluster) SetProgram(path string) { c.options.Program = path }

// SetPod sets the pod template for all containers that the nodes start after this call.
func (c *Cluster) SetPod(template corev1.PodTemplateSpec) { c.pod = template }

// Kubeconfig returns the path of the administrator's kubeconfig file.
func (c *Cluster) Kubeconfig() string { return c.kubeconfig }

// Server returns the API server of the cluster.
func (c *Cluster) Server() *kube.Server { return c.server }

// Node returns the node with index i. The index of node-1 is 0.
func (c *Cluster) Node(i int) *Node { return c.nodes[i] }

// Nodes returns all nodes.
func (c *Cluster) Nodes() []*Node { return c.nodes }

// Outside adds addresses to the outside host, which is not a node, and returns this host.
func (c *Cluster) Outside(addresses ...netip.Addr) (*lab.Host, error) {
	c.outsideMu.Lock()
	defer c.outsideMu.Unlock()
	if err := c.lab.AddAddress(addresses...); err != nil {
		return nil, err
	}
	return c.lab.Outside, nil
}

// AddService adds a service on every node, as kube-proxy would do.
func (c *Cluster) AddService(service lab.Service) error {
	c.outsideMu.Lock()
	defer c.outsideMu.Unlock()
	for _, n := range c.nodes {
		if n.services == nil {
			services, err := n.host.NewServices()
			if err != nil {
				return err
			}
			n.services = services
		}
		if err := n.services.Add(service); err != nil {
			return err
		}
	}
	return nil
}

// writeKubeconfig writes a kubeconfig file for the given client configuration.
func writeKubeconfig(path string, config *rest.Config) error {
	const name = "lab"
	file := clientcmdapi.NewConfig()
	file.Clusters[name] = &clientcmdapi.Cluster{Server: config.Host, CertificateAuthorityData: config.CAData}
	file.AuthInfos[name] = &clientcmdapi.AuthInfo{
		ClientCertificateData: config.CertData, ClientKeyData: config.KeyData, Token: config.BearerToken,
	}
	file.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	file.CurrentContext = name
	if err := clientcmd.WriteToFile(*file, path); err != nil {
		return fmt.Errorf("writing a kubeconfig: %w", err)
	}
	return nil
}

// WriteLogs writes the last part of the log of each agent and each dataplane.
func (c *Cluster) WriteLogs(to io.Writer) {
	for _, n := range c.nodes {
		for _, p := range []*process.Process{n.agent, n.dataplane} {
			if p != nil {
				fmt.Fprintf(to, "--- %s\n%s\n", p.Name(), p.Log())
			}
		}
	}
}

// projectFile returns the absolute path of a file in the project.
func projectFile(parts ...string) (string, error) {
	root, err := kube.ProjectRoot()
	if err != nil {
		return "", err
	}
	path := filepath.Join(append([]string{root}, parts...)...)
	if _, err := os.Stat(path); err != nil {
		return "", err
	}
	return path, nil
}
