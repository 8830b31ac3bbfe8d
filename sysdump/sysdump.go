package sysdump

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/check"
	"github.com/sluicenet/sluice/live"
	"github.com/sluicenet/sluice/query/status"
)

// Options configures a dump.
type Options struct {
	// Release is the version of this program. Namespace is the namespace of the operator.
	Release, Namespace string
	// Anonymize replaces the names of namespaces, pods, policies, rules, nodes, workloads, labels and
	// domains.
	Anonymize bool
	// Lines is the maximum number of lines of each log. Pods is the maximum number of agent and
	// dataplane pods whose logs are read.
	Lines, Pods int
	// Now is the time of the dump.
	Now time.Time
}

// Write writes an archive. It returns a text for each part that it could not read. It returns an
// error only if the API server cannot be reached or the archive cannot be written.
func Write(ctx context.Context, c *live.Connection, out io.Writer, o Options) (unread []string, err error) {
	facts, err := check.Read(ctx, c, o.Release, o.Namespace)
	if err != nil {
		return nil, err
	}
	d := &dump{archive: archive{files: map[string][]byte{}}, c: c, o: o, facts: facts}
	d.read(ctx)
	if o.Anonymize {
		d.names = d.findNames()
	}
	d.add(ctx)
	d.addText("README.txt", []byte(d.readme()))
	return d.unread, d.write(out, o.Now)
}

// dump collects the content of an archive.
type dump struct {
	archive
	c     *live.Connection
	o     Options
	facts *check.Facts

	reports    *live.Reports
	pods       []corev1.Pod
	namespaces []corev1.Namespace
	policies   []networkingv1.NetworkPolicy
	tiers      []unstructured.Unstructured
	// tierVersions contains the versions of ClusterNetworkPolicies that the API server serves.
	tierVersions []string

	system struct {
		pods        []corev1.Pod
		deployments []appsv1.Deployment
		daemonSets  []appsv1.DaemonSet
		events      []corev1.Event
	}
}

// read reads the objects for the archive, except the objects in d.facts.
func (d *dump) read(ctx context.Context) {
	var pods corev1.PodList
	d.list(ctx, "pods", &pods, func() { d.pods = append(d.pods, pods.Items...) })
	var namespaces corev1.NamespaceList
	d.list(ctx, "namespaces", &namespaces, func() { d.namespaces = append(d.namespaces, namespaces.Items...) })
	var policies networkingv1.NetworkPolicyList
	d.list(ctx, "networkpolicies", &policies, func() { d.policies = append(d.policies, policies.Items...) })
	var err error
	if d.tiers, d.tierVersions, err = d.c.ClusterNetworkPolicies(ctx); err != nil {
		d.missing("clusternetworkpolicies", err)
	}
	if d.facts.Nodes.Err != nil {
		d.missing("nodes", d.facts.Nodes.Err)
	}
	d.reports = &live.Reports{}
	if reports, err := d.c.Reports(ctx); err != nil {
		d.missing("enforcers, nodeenforcers, policystatuses, clusterpolicystatuses", err)
	} else {
		d.reports = reports
	}
	in, ours := client.InNamespace(d.o.Namespace), client.MatchingLabels{"app.kubernetes.io/name": "sluice"}
	var system corev1.PodList
	d.list(ctx, "system/pods", &system, func() { d.system.pods = append(d.system.pods, system.Items...) }, in, ours)
	var deployments appsv1.DeploymentList
	d.list(ctx, "system/deployments", &deployments, func() { d.system.deployments = append(d.system.deployments, deployments.Items...) }, in, ours)
	var daemonSets appsv1.DaemonSetList
	d.list(ctx, "system/daemonsets", &daemonSets, func() { d.system.daemonSets = append(d.system.daemonSets, daemonSets.Items...) }, in, ours)
	var events corev1.EventList
	d.list(ctx, "system/events", &events, func() { d.system.events = append(d.system.events, events.Items...) }, in)
}

func (d *dump) list(ctx context.Context, what string, page client.ObjectList, each func(), options ...client.ListOption) {
	if err := d.c.Each(ctx, page, each, options...); err != nil {
		d.missing(what, err)
	}
}

// add adds all files except README.txt.
func (d *dump) add(ctx context.Context) {
	d.addJSON("version.json", map[string]string{"program": d.o.Release, "apiServer": d.facts.Version, "time": d.o.Now.UTC().Format(time.RFC3339)})
	d.addJSON("pods.json", reduced(d.pods, reducePod))
	d.addJSON("namespaces.json", reduced(d.namespaces, reduceNamespace))
	d.addJSON("networkpolicies.json", reduced(d.policies, reducePolicy))
	d.addJSON("clusternetworkpolicies.json", object{"served": d.tierVersions, "items": reduced(d.tiers, reduceTier)})
	d.addJSON("nodes.json", reduced(d.facts.Nodes.Value, reduceNode))
	if e := d.reports.Enforcer; e != nil {
		d.addJSON("enforcer.json", map[string]any{"metadata": reduceMeta(e), "spec": e.Spec, "status": e.Status})
	}
	d.addJSON("nodeenforcers.json", reduced(d.reports.Nodes, func(n *v1alpha1.NodeEnforcer) any {
		return map[string]any{"metadata": reduceMeta(n), "status": n.Status}
	}))
	d.addJSON("policystatuses.json", reduced(d.reports.Policies, func(p *v1alpha1.PolicyStatus) any {
		return map[string]any{"metadata": reduceMeta(p), "status": p.Status}
	}))
	d.addJSON("clusterpolicystatuses.json", reduced(d.reports.ClusterPolicies, func(p *v1alpha1.ClusterPolicyStatus) any {
		return map[string]any{"metadata": reduceMeta(p), "status": p.Status}
	}))
	d.addJSON("system/pods.json", reduced(d.system.pods, reduceOwnPod))
	d.addJSON("system/deployments.json", reduced(d.system.deployments, reduceDeployment))
	d.addJSON("system/daemonsets.json", reduced(d.system.daemonSets, reduceDaemonSet))
	d.addJSON("system/events.json", reduced(d.system.events, reduceEvent))
	d.addRanges(ctx)
	d.addAnswer("check", check.NewReport("Cluster", check.Checks(d.facts)))
	d.addAnswer("status", status.NewCluster("cluster", status.Reports(*d.reports)))
	d.addLogs(ctx)
}

// addRanges adds the ConfigMap with the pod ranges of the cluster.
func (d *dump) addRanges(ctx context.Context) {
	const name = "sluice-pod-ranges"
	var ranges corev1.ConfigMap
	err := d.c.Get(ctx, d.o.Namespace, name, &ranges)
	switch {
	case client.IgnoreNotFound(err) != nil:
		d.missing("system/"+name, err)
	case err == nil:
		d.addJSON("system/"+name+".json", ranges.Data)
	}
}

// answer is the result of a command such as `sluice status`.
type answer interface {
	WriteText(w io.Writer) error
}

// addAnswer adds the result of a command as text and as JSON.
func (d *dump) addAnswer(name string, a answer) {
	var text bytes.Buffer
	if err := a.WriteText(&text); err != nil {
		d.missing(name+".txt", err)
	}
	d.addText(name+".txt", text.Bytes())
	d.addJSON(name+".json", a)
}

// readme returns the index of the archive.
func (d *dump) readme() string {
	var b strings.Builder
	fmt.Fprintf(&b, "This archive describes an installation of Sluice, for a bug report.\nWritten by sluice %s at %s.\n", d.o.Release, d.o.Now.UTC().Format(time.RFC3339))
	b.WriteString("It contains no Secrets, no environment variables, and annotations and ConfigMaps of Sluice only.\n")
	if d.o.Anonymize {
		b.WriteString("Names of namespaces, pods, policies, rules, nodes, workloads, labels and domains were replaced. Addresses were not.\n")
	}
	for _, part := range []struct {
		title string
		lines []string
	}{{"Could not be read", d.unread}, {"Left out", d.omitted}, {"Files", sortedNames(d.files)}} {
		if len(part.lines) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n%s:\n", part.title)
		for _, line := range part.lines {
			fmt.Fprintf(&b, "- %s\n", line)
		}
	}
	return b.String()
}

func sortedNames(files map[string][]byte) (names []string) {
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
