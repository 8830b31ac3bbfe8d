package node

import (
	"strconv"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/node/nodeenforcer"
)

// statusWriter returns the writer of the node's NodeEnforcer.
func (a *agent) statusWriter(mgr manager.Manager) *nodeenforcer.Writer {
	source := &nodeenforcer.Source{StateDir: a.StateDir, ContentsOf: a.acknowledged}
	return &nodeenforcer.Writer{
		Node: a.Node, Namespace: a.Namespace, Cache: mgr.GetCache(), Direct: mgr.GetAPIReader(), Client: mgr.GetClient(),
		Status: func() (v1alpha1.NodeEnforcerStatus, error) { return source.Status(a.observe()) },
		Log:    a.Log.WithName("status"),
	}
}

// observe returns the current state of the agent.
func (a *agent) observe() *nodeenforcer.Observation {
	published, err := a.publisher.lastPublication(), a.publisher.failure()
	out := &nodeenforcer.Observation{
		At: time.Now(),
		Published: nodeenforcer.Publication{
			Generation: published.generation, At: published.at, Took: published.took, Size: published.size,
			Contains: a.resourceVersions(published.contains),
		},
		PublishErr: err, ConnectionErr: a.connection.lastingFailure(), Dataplane: a.dataplane.status(),
		Endpoint: a.endpoint.Published(),
	}
	out.Sandboxes, out.SandboxesErr = a.sandboxes.newest()
	return out
}

// acknowledged returns the contents of an acknowledged generation. It returns false if the
// generation is too old or was published by an earlier agent.
func (a *agent) acknowledged(generation uint64) (nodeenforcer.Contents, bool) {
	p, ok := a.publisher.publication(generation)
	return nodeenforcer.Contents{Versions: a.resourceVersions(p.contains), Enforced: p.enforced}, ok
}

// resourceVersions converts resource versions to the API type.
func (a *agent) resourceVersions(contains map[kind]uint64) v1alpha1.ResourceVersions {
	contains = a.state.atMostLast(contains)
	text := func(k kind) string {
		if contains[k] == 0 {
			return ""
		}
		return strconv.FormatUint(contains[k], 10)
	}
	return v1alpha1.ResourceVersions{NetworkPolicies: text(kindPolicy), Pods: text(kindPod), Namespaces: text(kindNamespace)}
}
