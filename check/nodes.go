package check

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluicenet/sluice/dataplane/report"
)

// counts contains numbers of nodes. The key is a property of the nodes, such as an architecture.
type counts map[string]int

// String returns each number with its key, such as "3 amd64, 1 arm64".
func (c counts) String() string {
	var parts []string
	for _, word := range slices.Sorted(maps.Keys(c)) {
		parts = append(parts, fmt.Sprintf("%d %s", c[word], word))
	}
	return few(parts)
}

// linuxNodes returns the nodes on which pods of Sluice run.
func linuxNodes(f *Facts) (out []*corev1.Node) {
	for i := range f.Nodes.Value {
		n := &f.Nodes.Value[i]
		if n.Status.NodeInfo.OperatingSystem == "linux" && virtual(n) == "" {
			out = append(out, n)
		}
	}
	return out
}

// virtual returns the type of a virtual node, on which no DaemonSet runs. If the node is not
// virtual, it returns "".
func virtual(n *corev1.Node) string {
	switch {
	case n.Labels["eks.amazonaws.com/compute-type"] == "fargate":
		return "Fargate"
	case n.Labels["type"] == "virtual-kubelet":
		return "virtual-kubelet"
	}
	return ""
}

// checkNodes checks what the Node objects report about operating systems, kernels and runtimes.
func checkNodes(f *Facts) []report.Check {
	if f.Nodes.Err != nil {
		return []report.Check{unread("nodes", f.Nodes.Err)}
	}
	systems, architectures, kernels, runtimes := counts{}, counts{}, counts{}, counts{}
	var without []string
	for i := range f.Nodes.Value {
		n := &f.Nodes.Value[i]
		systems[n.Status.NodeInfo.OperatingSystem]++
		if why := virtual(n); why != "" {
			without = append(without, n.Name+" ("+why+")")
		}
	}
	for _, n := range linuxNodes(f) {
		architectures[n.Status.NodeInfo.Architecture]++
		kernels[n.Status.NodeInfo.KernelVersion]++
		name, _, _ := strings.Cut(n.Status.NodeInfo.ContainerRuntimeVersion, ":")
		runtimes[name]++
	}
	out := []report.Check{ok("nodes", systems.String())}
	switch {
	case len(linuxNodes(f)) == 0:
		return []report.Check{failed("nodes", "no Linux node that runs DaemonSets: "+systems.String(), "add a Linux node")}
	case len(without) > 0:
		out[0] = warning("nodes", systems.String()+"; no DaemonSet runs on "+few(without), "do not run pods there that policies must isolate")
	}
	return append(out, checkArchitectures(architectures), checkKernels(kernels), checkRuntimes(runtimes))
}

func checkArchitectures(found counts) report.Check {
	for word := range found {
		if word != "amd64" && word != "arm64" {
			return warning("architectures", found.String(), "build the image for linux/"+word+" as well: make image PLATFORMS=...")
		}
	}
	return ok("architectures", found.String())
}

var kernelVersion = regexp.MustCompile(`^(\d+)\.(\d+)`)

// checkKernels warns about kernels before 6.1, because some of them cannot detect forged source
// addresses in the netfilter hooks that Sluice uses. See docs/packet-path.md.
func checkKernels(found counts) report.Check {
	var old []string
	for _, release := range slices.Sorted(maps.Keys(found)) {
		match := kernelVersion.FindStringSubmatch(release)
		if match == nil {
			continue
		}
		major, majorErr := strconv.Atoi(match[1])
		minor, minorErr := strconv.Atoi(match[2])
		if majorErr == nil && minorErr == nil && (major < 6 || major == 6 && minor < 1) {
			old = append(old, release)
		}
	}
	if len(old) > 0 {
		return warning("kernels", found.String(), "some kernels before 6.1 cannot detect forged sources; see the limits in docs/packet-path.md")
	}
	return ok("kernels", found.String())
}

func checkRuntimes(found counts) report.Check {
	for word := range found {
		if word != "containerd" && word != "cri-o" {
			return warning("container runtimes", found.String(),
				"check where "+word+" stores CNI results, and set spec.cniResults of the Enforcer")
		}
	}
	return ok("container runtimes", found.String())
}
