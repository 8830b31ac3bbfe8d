package operator

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

// container gives a container of the node's pod that runs the program with
// arguments. It writes to nothing but what is mounted, and gains no privilege.
func container(name, image string, user *corev1.SecurityContext, resources *corev1.ResourceRequirements, arguments ...string) corev1.Container {
	user.RunAsGroup = ptr.To[int64](NodeGroup)
	user.ReadOnlyRootFilesystem = ptr.To(true)
	user.AllowPrivilegeEscalation = ptr.To(false)
	if user.Capabilities == nil {
		user.Capabilities = &corev1.Capabilities{}
	}
	user.Capabilities.Drop = []corev1.Capability{"ALL"}
	c := corev1.Container{
		Name: name, Image: image, Command: []string{program}, Args: arguments, SecurityContext: user,
		// An image that was brought to the node, without a registry, will do.
		ImagePullPolicy: corev1.PullIfNotPresent,
		// The last line of the log says why a container ended. Status shows it.
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
	}
	if resources != nil {
		c.Resources = *resources
	}
	return c
}

// asRoot gives the node's root user with these capabilities alone. User 0 owns
// the state directory, and reads what the kernel shows to its owner only.
func asRoot(capabilities ...corev1.Capability) *corev1.SecurityContext {
	return &corev1.SecurityContext{
		RunAsUser: ptr.To[int64](0), RunAsNonRoot: ptr.To(false),
		Capabilities: &corev1.Capabilities{Add: capabilities},
	}
}

// probe asks a process on the loopback address of the node.
func probe(path string, port, period, failures int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{
			Host: loopback, Path: path, Port: intstr.FromInt32(port), Scheme: corev1.URISchemeHTTP,
		}},
		PeriodSeconds: period, FailureThreshold: failures, TimeoutSeconds: probeSeconds,
	}
}

// probeSeconds is how long an answer may take. A node under load answers late.
const probeSeconds = 5

// Names of ports, for Services and for people.
const (
	agentMetrics     = "agent-metrics"
	dataplaneMetrics = "plane-metrics"
	dataplaneHealth  = "plane-health"
)

func hostPort(name string, port int32) corev1.ContainerPort {
	return corev1.ContainerPort{Name: name, ContainerPort: port, HostPort: port, Protocol: corev1.ProtocolTCP}
}

// dataplaneHealthPort is of the pod that enforces and of the one that uninstalls.
// A node has it once: the scheduler brings neither to a node before the other has
// ended, and a process that cannot have it ends before it touches anything.
func dataplaneHealthPort() corev1.ContainerPort {
	port := hostPort(dataplaneHealth, DataplaneHealthPort)
	port.HostIP = loopback
	return port
}

const (
	stateVolumeName = "state"
	tokenVolumeName = "token"
	// tokenPath is where clients in pods look for the API server's token.
	tokenPath = "/var/run/secrets/kubernetes.io/serviceaccount"
	// tokenSeconds is how long a token is valid. The kubelet renews it.
	tokenSeconds = 3600
)

func stateMount() corev1.VolumeMount {
	return corev1.VolumeMount{Name: stateVolumeName, MountPath: StateDir}
}

// stateVolume outlives pods: enforcement goes on by what the pod before left.
func stateVolume() corev1.Volume {
	return corev1.Volume{Name: stateVolumeName, VolumeSource: corev1.VolumeSource{
		HostPath: &corev1.HostPathVolumeSource{Path: StateDir, Type: ptr.To(corev1.HostPathDirectoryOrCreate)},
	}}
}

// tokenVolume is what the API server's account needs in a pod. It is mounted
// into the agent alone, which is why it is not the kubelet's own.
func tokenVolume() corev1.Volume {
	return corev1.Volume{Name: tokenVolumeName, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
		Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", ExpirationSeconds: ptr.To[int64](tokenSeconds)}},
			{ConfigMap: &corev1.ConfigMapProjection{
				LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"},
				Items:                []corev1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}},
			}},
			{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{{
				Path: "namespace", FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.namespace"},
			}}}},
		},
	}}}
}

// resourcesOf is nil for a container of which nothing is said.
func resourcesOf(c *v1alpha1.Container) *corev1.ResourceRequirements {
	if c == nil {
		return nil
	}
	return &corev1.ResourceRequirements{Requests: listOf(c.Resources.Requests), Limits: listOf(c.Resources.Limits)}
}

func listOf(in v1alpha1.ResourceList) corev1.ResourceList {
	var out corev1.ResourceList
	for name, quantity := range in {
		if out == nil {
			out = corev1.ResourceList{}
		}
		out[corev1.ResourceName(name)] = quantity
	}
	return out
}
