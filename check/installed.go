package check

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/dataplane/report"
)

// definitions contains the CRDs of Sluice by name, with the Go types of the fields `spec` and
// `status`.
var definitions = map[string]map[string]reflect.Type{
	"enforcers.policy.sluice.dev": {
		"spec": reflect.TypeFor[v1alpha1.EnforcerSpec](), "status": reflect.TypeFor[v1alpha1.EnforcerStatus](),
	},
	"nodeenforcers.policy.sluice.dev":         {"status": reflect.TypeFor[v1alpha1.NodeEnforcerStatus]()},
	"policystatuses.policy.sluice.dev":        {"status": reflect.TypeFor[v1alpha1.EnforcementStatus]()},
	"clusterpolicystatuses.policy.sluice.dev": {"status": reflect.TypeFor[v1alpha1.EnforcementStatus]()},
}

// checkInstallation checks an installation of Sluice.
func checkInstallation(f *Facts) []report.Check {
	i := f.Installed
	out := []report.Check{checkDefinitions(i), checkOperator(f), checkAccounts(i), checkImages(i), checkPods(i), checkAdmission(i)}
	if i.Reports.Err != nil {
		return append(out, unread("Enforcer", i.Reports.Err))
	}
	out = append(out, checkEnforcer(i), checkKernelFeatures(i))
	return append(out, checkNodeEnforcers(f)...)
}

// checkDefinitions compares the fields of the CRDs with the fields that this program uses.
func checkDefinitions(i *Installed) report.Check {
	const name = "definitions"
	if i.Definitions.Err != nil {
		return unread(name, i.Definitions.Err)
	}
	var absent, lacking, unknown []string
	for _, crd := range slices.Sorted(maps.Keys(definitions)) {
		object := i.Definitions.Value[crd]
		if object == nil {
			absent = append(absent, crd)
			continue
		}
		for part, fields := range definitions[crd] {
			have, want := fieldsOf(object, part), jsonFields(fields)
			kind, _, _ := strings.Cut(crd, ".")
			lacking = append(lacking, prefixed(kind+" "+part+".", without(want, have))...)
			unknown = append(unknown, prefixed(kind+" "+part+".", without(have, want))...)
		}
	}
	const fix = "kubectl apply --server-side -k config/crd of the release that runs"
	switch {
	case len(absent) > 0:
		return failed(name, "not installed: "+strings.Join(absent, ", "), fix)
	case len(lacking) > 0:
		return failed(name, "older than this program, without: "+few(lacking), fix)
	case len(unknown) > 0:
		return warning(name, "newer than this program, with: "+few(unknown), "use the program of the release that runs")
	}
	return ok(name, "the definitions match this program")
}

// fieldsOf returns the fields below spec or status in version v1alpha1 of a CRD.
func fieldsOf(crd *unstructured.Unstructured, part string) (names []string) {
	versions, _, err := unstructured.NestedSlice(crd.Object, "spec", "versions")
	if err != nil {
		return nil
	}
	for _, v := range versions {
		v, isMap := v.(map[string]any)
		if !isMap || v["name"] != v1alpha1.GroupVersion.Version {
			continue
		}
		fields, _, err := unstructured.NestedMap(v, "schema", "openAPIV3Schema", "properties", part, "properties")
		if err == nil {
			names = slices.Sorted(maps.Keys(fields))
		}
	}
	return names
}

func jsonFields(t reflect.Type) (names []string) {
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// without returns the elements of list that are not in other.
func without(list, other []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(other, s) })
}

func prefixed(prefix string, list []string) (out []string) {
	for _, s := range list {
		out = append(out, prefix+s)
	}
	return out
}

func checkOperator(f *Facts) report.Check {
	const name = "operator"
	d := f.Installed.Operator.Value
	switch {
	case f.Installed.Operator.Err != nil:
		return unread(name, f.Installed.Operator.Err)
	case d == nil:
		return failed(name, "no Deployment sluice-operator in namespace "+f.Namespace, "install the operator, or give its namespace with --namespace")
	case d.Status.AvailableReplicas == 0:
		return failed(name, "no pod of the operator is available", fmt.Sprintf("kubectl -n %s describe deployment,pods -l app.kubernetes.io/component=operator", f.Namespace))
	}
	image := imageOf(d)
	if tag := tagOf(image); tag != "" && f.Release != "" && strings.TrimPrefix(tag, "v") != strings.TrimPrefix(f.Release, "v") {
		return warning(name, fmt.Sprintf("image %s; this program is %s", image, f.Release), "use the program of the release that runs")
	}
	return ok(name, "available, image "+image)
}

func imageOf(d *appsv1.Deployment) string {
	if containers := d.Spec.Template.Spec.Containers; len(containers) > 0 {
		return containers[0].Image
	}
	return ""
}

// tagOf returns the tag of an image if the tag is a version, and otherwise "".
func tagOf(image string) string {
	name, _, _ := strings.Cut(image, "@")
	tag := name[strings.LastIndexAny(name, ":/")+1:]
	if !strings.Contains(name, ":"+tag) || strings.Trim(tag, "v0123456789.") != "" {
		return ""
	}
	return tag
}

func checkAccounts(i *Installed) report.Check {
	const name = "rights of Sluice"
	switch {
	case len(i.Missing.Value) > 0:
		return failed(name, "missing: "+few(i.Missing.Value), "kubectl apply --server-side -k config/default of the release that runs; the operator then restores the rights of the agents")
	case i.Missing.Err != nil:
		return unread(name, i.Missing.Err)
	}
	return ok(name, "the operator and the agents have every right that they need")
}

// checkImages checks whether all pods run the same image.
func checkImages(i *Installed) report.Check {
	const name = "images"
	if i.Pods.Err != nil {
		return unread(name, i.Pods.Err)
	}
	images := counts{}
	for p := range i.Pods.Value {
		for c := range i.Pods.Value[p].Spec.Containers {
			images[i.Pods.Value[p].Spec.Containers[c].Image]++
		}
	}
	if len(images) > 1 {
		return warning(name, "containers run several images: "+images.String(), "wait until the rollout ends; see condition Progressing of the Enforcer")
	}
	return ok(name, "containers: "+images.String())
}

// checkPods looks for pods of Sluice that are not running.
func checkPods(i *Installed) report.Check {
	const name = "pods"
	if i.Pods.Err != nil {
		return unread(name, i.Pods.Err)
	}
	var waiting []string
	for p := range i.Pods.Value {
		pod := &i.Pods.Value[p]
		if why := notReady(pod); why != "" {
			waiting = append(waiting, fmt.Sprintf("%s on node %s (%s)", pod.Name, pod.Spec.NodeName, why))
		}
	}
	if len(waiting) > 0 {
		return warning(name, "not ready: "+few(waiting), "kubectl sluice status, and the logs of these pods")
	}
	return ok(name, fmt.Sprintf("%d pods are ready", len(i.Pods.Value)))
}

// notReady returns why a pod is not ready, or "" if it is ready.
func notReady(pod *corev1.Pod) string {
	for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if w := c.State.Waiting; w != nil {
			return c.Name + ": " + w.Reason
		}
	}
	for _, c := range pod.Status.Conditions {
		if c.Status != corev1.ConditionTrue && (c.Type == corev1.PodReady || c.Type == corev1.PodScheduled) {
			return string(c.Type) + " is " + string(c.Status)
		}
	}
	return ""
}

// checkAdmission looks for events about pods that the API server rejected.
func checkAdmission(i *Installed) report.Check {
	const name = "admission"
	if i.Events.Err != nil {
		return unread(name, i.Events.Err)
	}
	rejected := map[string]string{}
	for e := range i.Events.Value {
		event := &i.Events.Value[e]
		if event.Reason == "FailedCreate" && strings.HasPrefix(event.InvolvedObject.Name, "sluice") {
			rejected[event.InvolvedObject.Kind+" "+event.InvolvedObject.Name] = event.Message
		}
	}
	if len(rejected) == 0 {
		return ok(name, "no event about a rejected pod")
	}
	var texts []string
	for _, object := range slices.Sorted(maps.Keys(rejected)) {
		texts = append(texts, object+": "+rejected[object])
	}
	return failed(name, few(texts), "let the namespace admit the pods; the message names the admission plugin")
}

func checkEnforcer(i *Installed) report.Check {
	const name = "Enforcer"
	e := i.Reports.Value.Enforcer
	if e == nil {
		return warning(name, "there is none, so no policy is enforced", "kubectl apply -k config/samples")
	}
	for _, want := range []struct {
		kind   v1alpha1.ConditionType
		status metav1.ConditionStatus
		result func(name, seen, fix string) report.Check
	}{
		{v1alpha1.ConditionAvailable, metav1.ConditionTrue, failed},
		{v1alpha1.ConditionDegraded, metav1.ConditionFalse, warning},
	} {
		c := meta.FindStatusCondition(e.Status.Conditions, string(want.kind))
		if c == nil {
			return warning(name, "the operator has not reported condition "+string(want.kind)+" yet", "wait, or read the log of the operator")
		}
		if c.Status != want.status {
			return want.result(name, fmt.Sprintf("%s is %s: %s: %s", c.Type, c.Status, c.Reason, c.Message), "see docs/troubleshooting.md")
		}
	}
	return ok(name, fmt.Sprintf("%d of %d nodes enforce policies", e.Status.Nodes.Ready, e.Status.Nodes.Desired))
}

// checkKernelFeatures counts the nodes by the kernel features that they support for queueing
// packets.
func checkKernelFeatures(i *Installed) report.Check {
	const name = "kernel features"
	features := counts{}
	for n := range i.Reports.Value.Nodes {
		if k := i.Reports.Value.Nodes[n].Status.Kernel; k != nil {
			features["with "+string(k.Queueing)]++
		}
	}
	if len(features) == 0 {
		return report.Check{Name: name, Result: report.CheckSkipped, Seen: "no node has reported its kernel", Fix: "on a node, as root: sluice dataplane --check"}
	}
	return ok(name, "nodes: "+features.String())
}

// checkNodeEnforcers returns one check for each node with a problem. After maxNames such checks,
// one more check counts the remaining nodes. If no node has a problem, checkNodeEnforcers returns a
// single check.
func checkNodeEnforcers(f *Facts) []report.Check {
	nodes := f.Installed.Reports.Value.Nodes
	reported := map[string]bool{}
	var out []report.Check
	for n := range nodes {
		reported[nodes[n].Name] = true
		if c, found := nodeProblem(&nodes[n]); found {
			out = append(out, c)
		}
	}
	if f.Installed.Reports.Value.Enforcer != nil {
		for _, n := range linuxNodes(f) {
			if !reported[n.Name] {
				out = append(out, warning("node "+n.Name, "it has no NodeEnforcer", "if the nodeSelector of the Enforcer selects the node, read the events of the DaemonSet sluice"))
			}
		}
	}
	if more := len(out) - maxNames; more > 0 {
		out = append(out[:maxNames], warning("nodes that enforce", fmt.Sprintf("%d more nodes have problems", more), "kubectl sluice status"))
	}
	if len(out) == 0 {
		return []report.Check{ok("nodes that enforce", fmt.Sprintf("%d nodes report no problem", len(nodes)))}
	}
	return out
}

// nodeProblem returns the most severe problem of a node.
func nodeProblem(n *v1alpha1.NodeEnforcer) (report.Check, bool) {
	for _, want := range []struct {
		kind   v1alpha1.ConditionType
		status metav1.ConditionStatus
		result func(name, seen, fix string) report.Check
	}{
		{v1alpha1.ConditionResponding, metav1.ConditionTrue, failed},
		{v1alpha1.ConditionReady, metav1.ConditionTrue, failed},
		{v1alpha1.ConditionSynced, metav1.ConditionTrue, warning},
		{v1alpha1.ConditionDegraded, metav1.ConditionFalse, warning},
		{v1alpha1.ConditionPodsKnownEarly, metav1.ConditionTrue, warning},
	} {
		c := meta.FindStatusCondition(n.Status.Conditions, string(want.kind))
		switch {
		case c == nil && want.kind == v1alpha1.ConditionReady:
			return failed("node "+n.Name, "its agent has not reported yet", "read the log of its pod"), true
		case c != nil && c.Status != want.status:
			return want.result("node "+n.Name, fmt.Sprintf("%s is %s: %s: %s", c.Type, c.Status, c.Reason, c.Message), "see docs/troubleshooting.md"), true
		}
	}
	return report.Check{}, false
}
