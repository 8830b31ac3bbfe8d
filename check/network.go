package check

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/sluicenet/sluice/dataplane/report"
)

// program describes a pod network or a policy engine that can run as a DaemonSet.
type program struct {
	name string
	// match contains parts of the names of DaemonSets and of their images.
	match []string
	// connects reports whether the program is a pod network.
	connects bool
	// bypass returns why packets of pods bypass netfilter in this cluster, and how to fix this. If
	// the packets pass netfilter, bypass returns "". The field is nil for a program whose packets
	// always pass netfilter.
	bypass func(f *Facts, d *appsv1.DaemonSet) (why, fix string)
	// enforces reports whether the program enforces NetworkPolicies. It is nil for a
	// program that never enforces them.
	enforces func(f *Facts, d *appsv1.DaemonSet) bool
	// off is advice on how to stop the program from enforcing NetworkPolicies.
	off string
}

// other is the advice for pod networks whose packets always bypass netfilter.
const other = "use a pod network whose packets pass netfilter, such as Flannel, Calico without eBPF, or the AWS VPC CNI"

var programs = []program{
	{name: "Flannel", match: []string{"flannel"}, connects: true},
	{name: "Canal", match: []string{"canal"}, connects: true, enforces: always, off: "replace Canal with Flannel, which does not enforce policies"},
	{
		name: "Calico", match: []string{"calico-node", "calico/node"}, connects: true, bypass: calicoBypass, enforces: always,
		off: "Calico has no setting that disables only NetworkPolicies; use another pod network, or accept that both engines must allow a flow",
	},
	{name: "GKE Dataplane V2", match: []string{"anetd"}, connects: true, bypass: bypasses("GKE Dataplane V2 forwards packets with eBPF"), enforces: always, off: "create the cluster without Dataplane V2"},
	{
		name: "Cilium", match: []string{"cilium/cilium"}, connects: true, bypass: ciliumBypass, enforces: ciliumEnforces,
		off: "set policyEnforcementMode=never in the Helm values of Cilium",
	},
	{name: "Antrea", match: []string{"antrea-agent"}, connects: true, bypass: bypasses("Antrea forwards packets between pods in Open vSwitch"), enforces: always, off: other},
	{name: "OVN-Kubernetes", match: []string{"ovnkube-node"}, connects: true, bypass: bypasses("OVN-Kubernetes forwards packets between pods in Open vSwitch"), enforces: always, off: other},
	{name: "kube-router", match: []string{"kube-router"}, connects: true, enforces: unless("--run-firewall=false"), off: "run kube-router with --run-firewall=false"},
	{
		name: "Weave Net", match: []string{"weave-net", "weave-kube"}, connects: true, enforces: container("weave-npc"),
		off: "remove the container weave-npc from its DaemonSet, and set EXPECT_NPC=0 for the container weave",
	},
	{
		name: "kindnet", match: []string{"kindnet"}, connects: true, enforces: always,
		off: "kindnet enforces NetworkPolicies since kind 0.24; create the cluster with networking.disableDefaultCNI and install another pod network",
	},
	{
		name: "AWS VPC CNI", match: []string{"aws-node", "amazon-k8s-cni"}, connects: true, enforces: argument("--enable-network-policy=true"),
		off: "set enableNetworkPolicy to false in the configuration of the add-on vpc-cni",
	},
	{name: "Azure CNI", match: []string{"azure-cns", "azure-cni"}, connects: true},
	{name: "Azure NPM", match: []string{"azure-npm"}, enforces: always, off: "az aks update --network-policy none"},
	{name: "kube-network-policies", match: []string{"kube-network-policies"}, enforces: always, off: "delete its DaemonSet"},
	{name: "OpenShift SDN", match: []string{"openshift-sdn"}, connects: true, bypass: bypasses("OpenShift SDN forwards packets between pods in Open vSwitch"), enforces: always, off: other},
}

func always(*Facts, *appsv1.DaemonSet) bool { return true }

func bypasses(why string) func(*Facts, *appsv1.DaemonSet) (string, string) {
	return func(*Facts, *appsv1.DaemonSet) (string, string) { return why, other }
}

func hasArgument(d *appsv1.DaemonSet, text string) bool {
	return slices.ContainsFunc(d.Spec.Template.Spec.Containers, func(c corev1.Container) bool {
		return slices.Contains(c.Args, text) || slices.Contains(c.Command, text)
	})
}

func argument(text string) func(*Facts, *appsv1.DaemonSet) bool {
	return func(_ *Facts, d *appsv1.DaemonSet) bool { return hasArgument(d, text) }
}

func unless(text string) func(*Facts, *appsv1.DaemonSet) bool {
	return func(_ *Facts, d *appsv1.DaemonSet) bool { return !hasArgument(d, text) }
}

func container(name string) func(*Facts, *appsv1.DaemonSet) bool {
	return func(_ *Facts, d *appsv1.DaemonSet) bool {
		return slices.ContainsFunc(d.Spec.Template.Spec.Containers, func(c corev1.Container) bool { return c.Name == name })
	}
}

func calicoBypass(_ *Facts, d *appsv1.DaemonSet) (why, fix string) {
	for i := range d.Spec.Template.Spec.Containers {
		for _, e := range d.Spec.Template.Spec.Containers[i].Env {
			if e.Name == "FELIX_BPFENABLED" && strings.EqualFold(e.Value, "true") {
				return "Calico forwards packets with eBPF", "disable the eBPF dataplane of Calico (bpfEnabled: false)"
			}
		}
	}
	return "", ""
}

func ciliumBypass(f *Facts, _ *appsv1.DaemonSet) (why, fix string) {
	const legacy = "enable-host-legacy-routing"
	if f.Cilium.Value != nil && f.Cilium.Value.Data[legacy] == "true" {
		return "", ""
	}
	return "Cilium forwards packets with eBPF past netfilter unless " + legacy + " is true", "set bpf.hostLegacyRouting=true in the Helm values of Cilium"
}

func ciliumEnforces(f *Facts, _ *appsv1.DaemonSet) bool {
	return f.Cilium.Value == nil || f.Cilium.Value.Data["enable-policy"] != "never"
}

// found is a program that runs in the cluster, and the DaemonSet that runs the program.
type found struct {
	*program
	set *appsv1.DaemonSet
}

func (p found) String() string {
	return fmt.Sprintf("%s (DaemonSet %s/%s)", p.name, p.set.Namespace, p.set.Name)
}

// findPrograms returns the known programs that run as DaemonSets.
func findPrograms(f *Facts) (out []found) {
	for i := range f.DaemonSets.Value {
		set := &f.DaemonSets.Value[i]
		for j := range programs {
			if programs[j].matches(set) {
				out = append(out, found{&programs[j], set})
				break
			}
		}
	}
	return out
}

func (p *program) matches(set *appsv1.DaemonSet) bool {
	texts := []string{set.Name}
	for i := range set.Spec.Template.Spec.Containers {
		texts = append(texts, set.Spec.Template.Spec.Containers[i].Image)
	}
	return slices.ContainsFunc(p.match, func(part string) bool {
		return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(text, part) })
	})
}

// checkNetwork checks whether packets of pods pass netfilter in the pod network.
func checkNetwork(f *Facts) report.Check {
	const name = "pod network"
	if f.DaemonSets.Err != nil {
		return unread(name, f.DaemonSets.Err)
	}
	var names []string
	for _, p := range findPrograms(f) {
		if !p.connects {
			continue
		}
		names = append(names, p.String())
		if p.bypass == nil {
			continue
		}
		if why, fix := p.bypass(f, p.set); why != "" {
			return failed(name, p.String()+": "+why, fix)
		}
	}
	if len(names) == 0 {
		return warning(name, "no known pod network runs as a DaemonSet", "check that packets of pods pass netfilter; see docs/requirements.md")
	}
	return ok(name, few(names))
}

// checkEngines looks for other programs that enforce NetworkPolicies.
func checkEngines(f *Facts) report.Check {
	const name = "other policy engines"
	if f.DaemonSets.Err != nil {
		return unread(name, f.DaemonSets.Err)
	}
	var names, fixes []string
	for _, p := range findPrograms(f) {
		if p.enforces != nil && p.enforces(f, p.set) {
			names = append(names, p.String())
			fixes = append(fixes, p.name+": "+p.off)
		}
	}
	if len(names) == 0 {
		return ok(name, "none found")
	}
	return warning(name, few(names)+": a flow is allowed only if this engine and Sluice allow it", strings.Join(fixes, "; "))
}

var proxyMode = regexp.MustCompile(`(?m)^\s*mode:\s*"?(\w*)"?\s*$`)

// checkProxy checks how the cluster translates addresses of Services.
func checkProxy(f *Facts) report.Check {
	const name = "kube-proxy"
	switch {
	case f.Proxy.Err != nil:
		return unread(name, f.Proxy.Err)
	case f.Proxy.Value == nil:
		return ok(name, "there is no ConfigMap kube-system/kube-proxy, so the mode is not known")
	}
	mode := "iptables" // The default on Linux.
	for _, text := range f.Proxy.Value.Data {
		if match := proxyMode.FindStringSubmatch(text); match != nil && match[1] != "" {
			mode = match[1]
		}
	}
	if mode == "ipvs" {
		return warning(name, "mode ipvs: connections of new pods to Services are not held, and the sources of packets that IPVS redirects are not validated",
			"if this matters, use the mode nftables or iptables")
	}
	return ok(name, "mode "+mode)
}
