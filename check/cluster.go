package check

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/sluicenet/sluice/dataplane/report"
)

// These versions must agree with docs/requirements.md.
const (
	oldestMinor = 30
	testedMinor = 37
)

// maxNames is the maximum number of names in the text of a check.
const maxNames = 10

// Checks returns the results of all checks. If Sluice is not installed, it omits the checks that
// need an installation.
func Checks(f *Facts) []report.Check {
	out := []report.Check{checkVersion(f), checkGroups(f), checkForwarding(f)}
	if f.Installed == nil {
		out = append(out, checkInstallRights(f))
	}
	out = append(out, checkNodes(f)...)
	out = append(out, checkNetwork(f), checkEngines(f), checkProxy(f))
	out = append(out, checkNamespace(f)...)
	if f.Installed == nil {
		return append(out,
			report.Check{
				Name: "kernel features", Result: report.CheckSkipped, Seen: "the API server does not report them",
				Fix: "on one node of each kind, as root: sluice dataplane --check",
			},
			ok("installation", "Sluice is not installed"))
	}
	return append(out, checkInstallation(f)...)
}

func ok(name, seen string) report.Check {
	return report.Check{Name: name, Result: report.CheckOK, Seen: seen}
}

func warning(name, seen, fix string) report.Check {
	return report.Check{Name: name, Result: report.CheckWarning, Seen: seen, Fix: fix}
}

func failed(name, seen, fix string) report.Check {
	return report.Check{Name: name, Result: report.CheckFailed, Seen: seen, Fix: fix}
}

// unread returns the result of a check that was skipped because its objects could not be read.
func unread(name string, err error) report.Check {
	return report.Check{Name: name, Result: report.CheckSkipped, Seen: err.Error(), Fix: "repeat the check with the right to read this"}
}

// few joins the first maxNames names, and appends the number of remaining names.
func few(names []string) string {
	if more := len(names) - maxNames; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxNames], ", "), more)
	}
	return strings.Join(names, ", ")
}

func contains(list []string, word string) bool { return slices.Contains(list, word) }

var minorVersion = regexp.MustCompile(`^v?1\.(\d+)\.`)

func checkVersion(f *Facts) report.Check {
	const name = "Kubernetes version"
	seen := fmt.Sprintf("%s; Sluice needs 1.%d or newer, and is tested with 1.%d", f.Version, oldestMinor, testedMinor)
	match := minorVersion.FindStringSubmatch(f.Version)
	if match == nil {
		return warning(name, seen, "compare the versions")
	}
	if minor, err := strconv.Atoi(match[1]); err != nil || minor < oldestMinor {
		return failed(name, seen, "upgrade the cluster: older API servers do not put the name of the node into tokens")
	}
	return ok(name, seen)
}

// checkGroups checks whether the cluster serves the kinds that the operator creates.
func checkGroups(f *Facts) report.Check {
	const name = "API groups"
	switch {
	case f.Groups.Err != nil:
		return unread(name, f.Groups.Err)
	case f.Admission.Err != nil:
		return unread(name, f.Admission.Err)
	}
	var lacking []string
	for _, group := range []string{
		"admissionregistration.k8s.io", "apiextensions.k8s.io", "apps", "coordination.k8s.io", "events.k8s.io",
		"networking.k8s.io", "rbac.authorization.k8s.io",
	} {
		if !contains(f.Groups.Value, group) {
			lacking = append(lacking, group)
		}
	}
	if !contains(f.Admission.Value, "validatingadmissionpolicies") {
		lacking = append(lacking, "validatingadmissionpolicies in admissionregistration.k8s.io/v1")
	}
	if len(lacking) > 0 {
		return failed(name, "the API server does not serve "+strings.Join(lacking, ", "), "enable these groups in the API server")
	}
	return ok(name, "the API server serves every group that Sluice needs")
}

// checkForwarding checks whether the API server can forward two kinds of requests to the operator:
// requests for flow events, and requests for the statuses of nodes.
func checkForwarding(f *Facts) report.Check {
	const name = "aggregation layer"
	config := f.Forwarding.Value
	switch {
	case f.Forwarding.Err != nil:
		return unread(name, f.Forwarding.Err)
	case config == nil || config.Data["requestheader-client-ca-file"] == "":
		return warning(name, "the API server is not configured to forward requests: policies are enforced, but kubectl sluice flows and the statuses of other nodes do not work",
			"start the API server with --requestheader-client-ca-file, --proxy-client-cert-file and --proxy-client-key-file; see docs/requirements.md")
	}
	if i := f.Installed; i != nil && unidentified(i.Forwarded) {
		return warning(name, "the operator does not recognize the API server, because requests that the API server forwards have no valid client certificate: policies are enforced, but kubectl sluice flows and the statuses of other nodes do not work",
			"start the API server with --proxy-client-cert-file and --proxy-client-key-file; see docs/requirements.md")
	}
	return ok(name, "the API server is configured to forward requests")
}

// unidentified reports whether a forwarded request failed because the operator could not verify
// that the API server had sent the request. In this case, the operator responds with 401, or with
// 503 and the names of the missing flags. A 401 cannot come from the API server itself, because
// earlier requests with the same credentials succeeded.
func unidentified(err error) bool {
	return apierrors.IsUnauthorized(err) || apierrors.IsServiceUnavailable(err) && strings.Contains(err.Error(), "--proxy-client-cert-file")
}

func checkInstallRights(f *Facts) report.Check {
	const name = "rights to install"
	lacking := f.Missing.Value
	switch {
	case f.Missing.Err != nil:
		return unread(name, f.Missing.Err)
	case len(lacking) > 0:
		return warning(name, "you may not "+few(lacking), "let a cluster administrator install Sluice")
	}
	return ok(name, "you have every right that an installation needs")
}

// enforceLabel is the label of a namespace that sets the Pod Security Standard for its pods.
const enforceLabel = "pod-security.kubernetes.io/enforce"

// checkNamespace checks whether the namespace of Sluice admits the pods of Sluice.
func checkNamespace(f *Facts) []report.Check {
	const name = "namespace"
	var out []report.Check
	system := f.System.Value
	switch {
	case f.System.Err != nil:
		out = append(out, unread(name, f.System.Err))
	case system == nil:
		out = append(out, ok(name, f.Namespace+" does not exist yet"))
	case system.Labels[enforceLabel] != "" && system.Labels[enforceLabel] != "privileged":
		out = append(out, failed(name, fmt.Sprintf("%s admits only pods of the level %s", f.Namespace, system.Labels[enforceLabel]),
			fmt.Sprintf("kubectl label --overwrite namespace %s %s=privileged", f.Namespace, enforceLabel)))
	default:
		out = append(out, ok(name, f.Namespace+" admits privileged pods"))
	}
	out = append(out, checkQuota(f))
	if contains(f.Groups.Value, "security.openshift.io") {
		out = append(out, warning("OpenShift", "pods need a security context constraint",
			"let the service accounts of Sluice use a constraint that allows the host network, host paths and NET_ADMIN; see docs/install.md"))
	}
	return out
}

// checkQuota checks whether quotas admit the pods of Sluice. On GKE, pods with a critical priority
// class need a quota in their namespace that allows this class.
func checkQuota(f *Facts) report.Check {
	const name = "quota"
	switch {
	case f.Quotas.Err != nil:
		return unread(name, f.Quotas.Err)
	case isGKE(f) && !slices.ContainsFunc(f.Quotas.Value, allowsCriticalPods):
		return warning(name, "on GKE, a namespace admits pods with a critical priority class only if a ResourceQuota allows the class; "+f.Namespace+" has none",
			"create a ResourceQuota in "+f.Namespace+" with a scopeSelector for system-node-critical and system-cluster-critical; see docs/install.md")
	case len(f.Quotas.Value) == 0:
		return ok(name, f.Namespace+" has no ResourceQuota")
	}
	for i := range f.Quotas.Value {
		q := &f.Quotas.Value[i]
		if limit, found := q.Spec.Hard[corev1.ResourcePods]; found && limit.Value() <= int64(len(f.Nodes.Value)) {
			return warning(name, fmt.Sprintf("ResourceQuota %s allows %s pods, and the cluster has %d nodes", q.Name, limit.String(), len(f.Nodes.Value)),
				"allow one pod per node and one for the operator, and twice as many while pods are replaced")
		}
	}
	return ok(name, "the quotas of "+f.Namespace+" leave room for one pod per node")
}

func isGKE(f *Facts) bool {
	return strings.Contains(f.Version, "-gke.") || slices.ContainsFunc(f.Nodes.Value, func(n corev1.Node) bool {
		_, found := n.Labels["cloud.google.com/gke-nodepool"]
		return found
	})
}

func allowsCriticalPods(q corev1.ResourceQuota) bool {
	return q.Spec.ScopeSelector != nil && slices.ContainsFunc(q.Spec.ScopeSelector.MatchExpressions, func(r corev1.ScopedResourceSelectorRequirement) bool {
		return r.ScopeName == corev1.ResourceQuotaScopePriorityClass &&
			(r.Operator == corev1.ScopeSelectorOpExists || contains(r.Values, "system-node-critical"))
	})
}
