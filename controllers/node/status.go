package node

import (
	"time"

	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/node/nodeenforcer"
)

// statusWriter returns the writer of the node's NodeEnforcer.
func (a *agent) statusWriter(mgr manager.Manager) *nodeenforcer.Writer {
	source := &nodeenforcer.Source{StateDir: a.StateDir, EnforcedBy: a.enforcedBy}
	return &nodeenforcer.Writer{
		Node: a.Node, Namespace: a.Namespace, RenewInterval: a.RenewInterval,
		Cache: mgr.GetCache(), Direct: mgr.GetAPIReader(), Client: mgr.GetClient(),
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
		},
		PublishErr: err, ConnectionErr: a.connection.LastingFailure(), Dataplane: a.dataplane.status(),
		Endpoint: a.endpoint.Published(),
	}
	out.Sandboxes, out.SandboxesErr = a.sandboxes.newest()
	return out
}

// enforcedBy returns the digests of the policies that a generation enforces. If the generation
// is too old, or if an earlier agent published it, ok is false.
func (a *agent) enforcedBy(generation uint64) (digests []byte, ok bool) {
	p, ok := a.publisher.publication(generation)
	return p.enforced, ok
}
