package node

import (
	"context"
	"fmt"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/sluicenet/sluice/controllers/clusterpolicy"
	"github.com/sluicenet/sluice/controllers/node/connection"
	"github.com/sluicenet/sluice/controllers/ondemand"
	"github.com/sluicenet/sluice/controllers/reduce"
	"github.com/sluicenet/sluice/internal/trigger"
	"github.com/sluicenet/sluice/policy"
)

// +kubebuilder:rbac:groups=policy.networking.k8s.io,resources=clusternetworkpolicies,verbs=get;list;watch
// +kubebuilder:rbac:groups=apiextensions.k8s.io,resources=customresourcedefinitions,resourceNames=clusternetworkpolicies.policy.networking.k8s.io,verbs=get;list;watch

// tiers applies ClusterNetworkPolicies to the state while the API server serves them. It reads
// the Node objects of other nodes only while a ClusterNetworkPolicy refers to nodes. If every
// agent watched all Node objects, the load on the API server would grow with the square of the
// number of nodes.
type tiers struct {
	agent     *agent
	config    *rest.Config
	transport *http.Client

	served   *clusterpolicy.Served
	policies optional[*reduce.CompactPolicy]
	nodes    optional[*corev1.Node]
	// Two triggers: `progress` is set after each change that may complete the load of all
	// objects, and `demand` is set after each change of ofNodes.
	progress, demand trigger.Trigger

	// The mutex of the state guards the fields below.

	// loaded is the API version whose ClusterNetworkPolicies have all been applied.
	loaded string
	// ofNodes contains the names of the policies that refer to nodes. While nodesLoaded is
	// false, waiting contains the newest versions of these policies. A policy without its peers
	// must not count as enforced, so these policies are applied together with the Node objects.
	ofNodes     map[string]bool
	waiting     map[string]*policy.Policy
	nodesLoaded bool
}

func newTiers(a *agent, mgr manager.Manager) *tiers {
	t := &tiers{
		agent: a, config: mgr.GetConfig(), transport: mgr.GetHTTPClient(), served: clusterpolicy.NewServed(),
		progress: trigger.New(), demand: trigger.New(), ofNodes: map[string]bool{}, waiting: map[string]*policy.Policy{},
	}
	t.policies = optional[*reduce.CompactPolicy]{
		resource: resource[*reduce.CompactPolicy]{
			kind:   connection.ClusterPolicy,
			upsert: func(s *policy.Snapshot, in *reduce.CompactPolicy) error { t.upsert(s, in.Policy); return nil },
			remove: t.remove,
		},
		names: t.policyNames,
	}
	t.nodes = optional[*corev1.Node]{resource: otherNodes(), names: t.nodeNames}
	return t
}

// definitions returns the resource for the CRD of ClusterNetworkPolicy. The CRD determines the
// API version in which the agent reads policies.
func (t *tiers) definitions() resource[*clusterpolicy.Definition] {
	return resource[*clusterpolicy.Definition]{
		kind:   connection.Definition,
		object: clusterpolicy.NewDefinition(),
		upsert: func(_ *policy.Snapshot, in *clusterpolicy.Definition) error { t.served.Set(in); return nil },
		remove: func(*policy.Snapshot, types.NamespacedName) { t.served.Remove(); t.progress.Set() },
	}
}

// load waits until all objects that the agent needs have been applied.
func (t *tiers) load(ctx context.Context) error {
	for !t.complete() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.progress.C():
		}
	}
	return nil
}

func (t *tiers) complete() (complete bool) {
	t.agent.state.load(func(*policy.Snapshot) {
		complete = t.loaded == t.served.Version() && (t.nodesLoaded || len(t.ofNodes) == 0)
	})
	return complete
}

// run reads the objects while they are needed, until the context ends.
func (t *tiers) run(ctx context.Context) error {
	return runAll(ctx, func(ctx context.Context) error {
		ondemand.Demand{
			Key: t.served.Version, Changed: t.served.Changed(), Run: t.runPolicies, Ended: t.endPolicies,
		}.Serve(ctx)
		return nil
	}, func(ctx context.Context) error {
		ondemand.Demand{Key: t.needsNodes, Changed: t.demand.C(), Run: t.runNodes, Ended: t.endNodes}.Serve(ctx)
		return nil
	})
}

func (t *tiers) runPolicies(ctx context.Context, version string) {
	from, err := clusterpolicy.NewCache(t.config, t.transport, version, reduce.With(reduce.ClusterPolicy), t.agent.watchFailed)
	if err == nil {
		policies := t.policies
		policies.object = clusterpolicy.NewObject(version)
		t.agent.Log.Info("Reading ClusterNetworkPolicies", "version", version)
		err = policies.run(ctx, t.agent, from, func(*policy.Snapshot) { t.loaded = version; t.progress.Set() })
	}
	t.report(ctx, err)
}

func (t *tiers) endPolicies() {
	t.agent.Log.Info("Removing all ClusterNetworkPolicies: their CustomResourceDefinition was deleted")
	t.agent.state.load(func(s *policy.Snapshot) {
		t.policies.prune(s, none)
		t.loaded = ""
	})
	t.agent.state.changed.Set()
	t.progress.Set()
}

// needsNodes returns a key that is empty unless a policy refers to nodes.
func (t *tiers) needsNodes() (key string) {
	t.agent.state.load(func(*policy.Snapshot) {
		if len(t.ofNodes) > 0 {
			key = string(connection.OtherNode)
		}
	})
	return key
}

func (t *tiers) runNodes(ctx context.Context, _ string) {
	others := reduce.With(reduce.Node)
	others.Field = fields.OneTermNotEqualSelector(metav1.ObjectNameField, t.agent.Node)
	from, err := cache.New(t.config, cache.Options{
		HTTPClient: t.transport, Mapper: restMapper(), DefaultWatchErrorHandler: t.agent.watchFailed,
		ByObject: map[client.Object]cache.ByObject{&corev1.Node{}: others},
	})
	if err == nil {
		err = t.nodes.run(ctx, t.agent, from, t.setNodesLoaded)
	}
	t.report(ctx, err)
}

// setNodesLoaded applies the policies that wait for Node objects.
func (t *tiers) setNodesLoaded(s *policy.Snapshot) {
	t.nodesLoaded = true
	for name, p := range t.waiting {
		s.UpsertPolicy(p)
		delete(t.waiting, name)
	}
	t.progress.Set()
}

// endNodes removes the Node objects of other nodes. If a policy refers to nodes again in the
// meantime, endNodes keeps the objects, and the next run replaces them.
func (t *tiers) endNodes() {
	t.agent.state.load(func(s *policy.Snapshot) {
		if len(t.ofNodes) == 0 {
			t.nodes.prune(s, none)
			t.nodesLoaded = false
		}
	})
	t.agent.state.changed.Set()
}

// none makes the method `prune` remove every object.
func none(types.NamespacedName) bool { return false }

func (t *tiers) report(ctx context.Context, err error) {
	if err = unlessDone(ctx, err); err != nil {
		t.agent.Log.Error(fmt.Errorf("reading ClusterNetworkPolicies: %w", err), "The policies remain as they are")
	}
}

// upsert applies a policy, or records that the policy waits for Node objects.
func (t *tiers) upsert(s *policy.Snapshot, p *policy.Policy) {
	delete(t.waiting, p.Name)
	if !p.UsesNodes() {
		t.setOfNodes(p.Name, false)
		s.UpsertPolicy(p)
		return
	}
	t.setOfNodes(p.Name, true)
	if t.nodesLoaded {
		s.UpsertPolicy(p)
	} else {
		t.waiting[p.Name] = p
	}
}

func (t *tiers) remove(s *policy.Snapshot, key types.NamespacedName) {
	delete(t.waiting, key.Name)
	t.setOfNodes(key.Name, false)
	s.DeletePolicy("", key.Name)
}

func (t *tiers) setOfNodes(name string, uses bool) {
	switch {
	case uses && !t.ofNodes[name]:
		t.ofNodes[name] = true
	case !uses && t.ofNodes[name]:
		delete(t.ofNodes, name)
	default:
		return
	}
	t.demand.Set()
	t.progress.Set()
}

// policyNames returns the names of all policies, including the policies that wait for Node
// objects.
func (t *tiers) policyNames(s *policy.Snapshot) (out []types.NamespacedName) {
	for name := range t.waiting {
		out = append(out, types.NamespacedName{Name: name})
	}
	for _, p := range s.Policies() {
		if p.Scope == "" && t.waiting[p.Name] == nil {
			out = append(out, types.NamespacedName{Name: p.Name})
		}
	}
	return out
}

// nodeNames returns the names of all nodes except the agent's own node.
func (t *tiers) nodeNames(s *policy.Snapshot) (out []types.NamespacedName) {
	for _, n := range s.Nodes() {
		if n.Name != t.agent.Node {
			out = append(out, types.NamespacedName{Name: n.Name})
		}
	}
	return out
}
