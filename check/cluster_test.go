package check_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluicenet/sluice/check"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/live"
	"github.com/sluicenet/sluice/test/kube"
)

var server *kube.Server

func TestMain(m *testing.M) { os.Exit(kube.Main(m, &server)) }

// good returns the facts of a cluster that has no problem and on which Sluice is not installed.
func good() *check.Facts {
	f := &check.Facts{Release: "0.1.0", Namespace: "sluice-system", Version: "v1.33.2"}
	f.Groups.Value = []string{
		"admissionregistration.k8s.io", "apiextensions.k8s.io", "apps", "coordination.k8s.io", "events.k8s.io",
		"networking.k8s.io", "rbac.authorization.k8s.io",
	}
	f.Admission.Value = []string{"validatingadmissionpolicies"}
	f.Forwarding.Value = &corev1.ConfigMap{Data: map[string]string{"requestheader-client-ca-file": "-----BEGIN CERTIFICATE-----"}}
	f.Nodes.Value = []corev1.Node{node("a", "6.12.0", nil)}
	f.DaemonSets.Value = []appsv1.DaemonSet{daemonSet("kube-flannel-ds", "flannel/flannel:v0.27")}
	f.Proxy.Value = &corev1.ConfigMap{Data: map[string]string{"config.conf": "ipvs:\n  strictARP: false\nmode: \"nftables\"\n"}}
	return f
}

func node(name, kernel string, labels map[string]string) corev1.Node {
	return corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Status: corev1.NodeStatus{NodeInfo: corev1.NodeSystemInfo{
		OperatingSystem: "linux", Architecture: "amd64", KernelVersion: kernel, ContainerRuntimeVersion: "containerd://2.0.0",
	}}}
}

func daemonSet(name, image string, arguments ...string) appsv1.DaemonSet {
	return appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: name}, Spec: appsv1.DaemonSetSpec{
		Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: image, Args: arguments}}}},
	}}
}

func TestChecksBeforeAnInstallation(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*check.Facts)
		check  string
		result report.CheckResult
		want   string // want is a part of the field Seen or Fix of the check.
	}{
		"old version":      {func(f *check.Facts) { f.Version = "v1.29.9-eks" }, "Kubernetes version", report.CheckFailed, "1.30 or newer"},
		"no admission":     {func(f *check.Facts) { f.Admission.Value = nil }, "API groups", report.CheckFailed, "validatingadmissionpolicies"},
		"no forwarding":    {func(f *check.Facts) { f.Forwarding.Value.Data = nil }, "aggregation layer", report.CheckWarning, "kubectl sluice flows and the statuses of other nodes do not work start the API server with --requestheader-client-ca-file, --proxy-client-cert-file"},
		"no rights":        {func(f *check.Facts) { f.Missing.Value = []string{"create namespaces"} }, "rights to install", report.CheckWarning, "you may not create namespaces"},
		"nodes unreadable": {func(f *check.Facts) { f.Nodes.Err = os.ErrPermission }, "nodes", report.CheckSkipped, "permission denied"},
		"no node":          {func(f *check.Facts) { f.Nodes.Value = nil }, "nodes", report.CheckFailed, "no Linux node"},
		"Fargate": {func(f *check.Facts) {
			f.Nodes.Value = append(f.Nodes.Value, node("fargate-1", "5.10.0", map[string]string{"eks.amazonaws.com/compute-type": "fargate"}))
		}, "nodes", report.CheckWarning, "fargate-1 (Fargate)"},
		"old kernel":         {func(f *check.Facts) { f.Nodes.Value = append(f.Nodes.Value, node("b", "5.15.0-91-generic", nil)) }, "kernels", report.CheckWarning, "1 5.15.0-91-generic"},
		"other architecture": {func(f *check.Facts) { f.Nodes.Value[0].Status.NodeInfo.Architecture = "s390x" }, "architectures", report.CheckWarning, "linux/s390x"},
		"other runtime":      {func(f *check.Facts) { f.Nodes.Value[0].Status.NodeInfo.ContainerRuntimeVersion = "docker://24" }, "container runtimes", report.CheckWarning, "where docker stores"},
		"Calico":             {func(f *check.Facts) { f.DaemonSets.Value[0] = daemonSet("calico-node", "quay.io/calico/node:v3.29") }, "other policy engines", report.CheckWarning, "Calico (DaemonSet kube-system/calico-node)"},
		"Cilium":             {func(f *check.Facts) { f.DaemonSets.Value[0] = daemonSet("cilium", "quay.io/cilium/cilium:v1.17") }, "pod network", report.CheckFailed, "bpf.hostLegacyRouting=true"},
		"Cilium without policies": {func(f *check.Facts) {
			f.DaemonSets.Value[0] = daemonSet("cilium", "quay.io/cilium/cilium:v1.17")
			f.Cilium.Value = &corev1.ConfigMap{Data: map[string]string{"enable-policy": "never", "enable-host-legacy-routing": "true"}}
		}, "", report.CheckOK, ""},
		"AWS without policies": {func(f *check.Facts) { f.DaemonSets.Value[0] = daemonSet("aws-node", "amazon-k8s-cni:v1.19") }, "", report.CheckOK, ""},
		"AWS with policies": {func(f *check.Facts) {
			f.DaemonSets.Value[0] = daemonSet("aws-node", "amazon-k8s-cni:v1.19", "--enable-network-policy=true")
		}, "other policy engines", report.CheckWarning, "enableNetworkPolicy"},
		"kube-router":     {func(f *check.Facts) { f.DaemonSets.Value[0] = daemonSet("kube-router", "cloudnativelabs/kube-router") }, "other policy engines", report.CheckWarning, "--run-firewall=false"},
		"unknown network": {func(f *check.Facts) { f.DaemonSets.Value = nil }, "pod network", report.CheckWarning, "no known pod network"},
		"IPVS":            {func(f *check.Facts) { f.Proxy.Value.Data["config.conf"] = "mode: ipvs\n" }, "kube-proxy", report.CheckWarning, "mode ipvs"},
		"no kube-proxy":   {func(f *check.Facts) { f.Proxy.Value = nil }, "", report.CheckOK, ""},
		"restricted": {func(f *check.Facts) {
			f.System.Value = &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}}}
		}, "namespace", report.CheckFailed, "kubectl label --overwrite namespace sluice-system"},
		"GKE":       {func(f *check.Facts) { f.Version = "v1.33.1-gke.100" }, "quota", report.CheckWarning, "create a ResourceQuota in sluice-system"},
		"OpenShift": {func(f *check.Facts) { f.Groups.Value = append(f.Groups.Value, "security.openshift.io") }, "OpenShift", report.CheckWarning, "security context constraint"},
	} {
		t.Run(name, func(t *testing.T) {
			f := good()
			test.change(f)
			for _, c := range check.Checks(f) {
				want := report.CheckOK
				switch c.Name {
				case test.check:
					want = test.result
					if !strings.Contains(c.Seen+" "+c.Fix, test.want) {
						t.Errorf("%+v lacks %q", c, test.want)
					}
				case "kernel features":
					want = report.CheckSkipped
				case "other policy engines":
					// A case that simulates a pod network can change this result, too, because a
					// pod network can also be a policy engine.
					want = c.Result
				}
				if c.Result != want {
					t.Errorf("%+v, want %s", c, want)
				}
			}
			if test.check != "" && !slices.ContainsFunc(check.Checks(f), func(c report.Check) bool { return c.Name == test.check }) {
				t.Errorf("no check %s", test.check)
			}
		})
	}
}

// TestForwardedRequests checks the result of the check "aggregation layer" for several errors of a
// forwarded request. The error shows whether the API server lacks flags that it needs to forward
// requests.
func TestForwardedRequests(t *testing.T) {
	for name, test := range map[string]struct {
		err    error
		result report.CheckResult
	}{
		"recognized":      {nil, report.CheckOK},
		"no certificate":  {fmt.Errorf("reading: %w", apierrors.NewServiceUnavailable("it lacks the flag --proxy-client-cert-file")), report.CheckWarning},
		"older operator":  {fmt.Errorf("reading: %w", apierrors.NewUnauthorized("the request contains no bearer token")), report.CheckWarning},
		"no right":        {apierrors.NewForbidden(schema.GroupResource{}, "no_node", nil), report.CheckOK},
		"operator absent": {apierrors.NewServiceUnavailable("no endpoints available"), report.CheckOK},
	} {
		t.Run(name, func(t *testing.T) {
			f := good()
			f.Installed = &check.Installed{Forwarded: test.err}
			f.Installed.Reports.Value = &live.Reports{}
			all := check.Checks(f)
			i := slices.IndexFunc(all, func(c report.Check) bool { return c.Name == "aggregation layer" })
			if i < 0 || all[i].Result != test.result || strings.Contains(all[i].Fix, "--proxy-client-cert-file and --proxy-client-key-file") != (test.result == report.CheckWarning) {
				t.Errorf("checks %+v, want %s", all, test.result)
			}
		})
	}
}

func TestText(t *testing.T) {
	var text strings.Builder
	r := check.NewReport("Cluster here", []report.Check{
		{Name: "a", Result: report.CheckOK, Seen: "good"},
		{Name: "longer", Result: report.CheckFailed, Seen: "bad", Fix: "do this"},
	})
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	want := `Cluster here: 1 failed, 1 ok.

RESULT  CHECK   MESSAGE
ok      a       good
failed  longer  bad
                fix: do this
`
	if text.String() != want || !r.Failed() {
		t.Errorf("got:\n%s\nwant:\n%s", text.String(), want)
	}
}
