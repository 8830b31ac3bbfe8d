package enforcer

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

// container returns a container that runs the program with the given arguments. The
// container can write only to mounted volumes and cannot gain privileges.
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
		// With this policy, an image that was imported on the node works without a
		// registry.
		ImagePullPolicy: corev1.PullIfNotPresent,
		// The kubelet copies the end of the log to the termination message, and the
		// operator copies the termination message to the status of the Enforcer.
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
	}
	if resources != nil {
		c.Resources = *resources
	}
	return c
}

// asRoot returns the security context of user 0 with only the given
// capabilities. User 0 owns the state directory and can read files under /proc
// and /sys that only root can read.
func asRoot(capabilities ...corev1.Capability) *corev1.SecurityContext {
	return &corev1.SecurityContext{
		RunAsUser: ptr.To[int64](0), RunAsNonRoot: ptr.To(false),
		Capabilities: &corev1.Capabilities{Add: capabilities},
	}
}

// probe returns an HTTP probe of a process that listens on the loopback address of the
// node.
func probe(path string, port, period, failures int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{
			Host: loopback, Path: path, Port: intstr.FromInt32(port), Scheme: corev1.URISchemeHTTP,
		}},
		PeriodSeconds: period, FailureThreshold: failures, TimeoutSeconds: probeSeconds,
	}
}

// probeSeconds is the timeout of a probe. The timeout is long because a process on a busy
// node can take seconds to respond.
const probeSeconds = 5

// Names of ports. Services and alerts refer to ports by these names.
const (
	agentMetrics     = "agent-metrics"
	dataplaneMetrics = "plane-metrics"
	dataplaneHealth  = "plane-health"
)

func hostPort(name string, port int32) corev1.ContainerPort {
	return corev1.ContainerPort{Name: name, ContainerPort: port, HostPort: port, Protocol: corev1.ProtocolTCP}
}

// dataplaneHealthPort returns the health port of the enforcing pod and of the uninstalling
// pod. Both use the same host port, so that only one of them can run on a node. The
// scheduler starts neither pod before the other has ended, and a process that cannot bind
// the port exits before it changes anything.
func dataplaneHealthPort() corev1.ContainerPort {
	port := hostPort(dataplaneHealth, DataplaneHealthPort)
	port.HostIP = loopback
	return port
}

const (
	stateVolumeName   = "state"
	resultsVolumeName = "cni-results"
	tokenVolumeName   = "token"
	// tokenPath is the directory where client-go looks for the token of a
	// service account.
	tokenPath = "/var/run/secrets/kubernetes.io/serviceaccount"
	// tokenSeconds is the lifetime of a token. The kubelet renews the token before it
	// expires.
	tokenSeconds = 3600
)

func stateMount() corev1.VolumeMount {
	return corev1.VolumeMount{Name: stateVolumeName, MountPath: StateDir}
}

// stateVolume returns a volume for a directory of the node. The directory outlives pods, so
// a new pod continues with the tree of the previous pod.
func stateVolume() corev1.Volume {
	return corev1.Volume{Name: stateVolumeName, VolumeSource: corev1.VolumeSource{
		HostPath: &corev1.HostPathVolumeSource{Path: StateDir, Type: ptr.To(corev1.HostPathDirectoryOrCreate)},
	}}
}

// resultsVolume returns a volume for the directory of CNI results. The kubelet creates the
// directory on a node that does not have it, so that the pod starts on every node.
func resultsVolume(dir string) corev1.Volume {
	return corev1.Volume{Name: resultsVolumeName, VolumeSource: corev1.VolumeSource{
		HostPath: &corev1.HostPathVolumeSource{Path: dir, Type: ptr.To(corev1.HostPathDirectoryOrCreate)},
	}}
}

// tokenVolume returns a volume with the credentials of the service account. Only the agent
// mounts this volume. The default volume of Kubernetes is disabled because every container
// would mount it.
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

// resourceRequirements returns the resources in the spec of a container, or nil if the spec
// does not contain the container.
func resourceRequirements(c *v1alpha1.Container) *corev1.ResourceRequirements {
	if c == nil {
		return nil
	}
	return &corev1.ResourceRequirements{Requests: resourceList(c.Resources.Requests), Limits: resourceList(c.Resources.Limits)}
}

func resourceList(in v1alpha1.ResourceList) corev1.ResourceList {
	var out corev1.ResourceList
	for name, quantity := range in {
		if out == nil {
			out = corev1.ResourceList{}
		}
		out[corev1.ResourceName(name)] = quantity
	}
	return out
}
