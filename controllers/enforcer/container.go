package enforcer

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

// container returns a container that runs the program with arguments. It can
// write only to mounted volumes and cannot gain privileges.
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
		// An image that was imported on the node works without a registry.
		ImagePullPolicy: corev1.PullIfNotPresent,
		// The end of the log becomes the termination message, which the status of
		// the Enforcer shows.
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

// probe returns an HTTP probe of a process on the node's loopback address.
func probe(path string, port, period, failures int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{
			Host: loopback, Path: path, Port: intstr.FromInt32(port), Scheme: corev1.URISchemeHTTP,
		}},
		PeriodSeconds: period, FailureThreshold: failures, TimeoutSeconds: probeSeconds,
	}
}

// probeSeconds is the timeout of a probe. On a node under load, a response can
// take seconds.
const probeSeconds = 5

// Names of ports, which Services and alerts use.
const (
	agentMetrics     = "agent-metrics"
	dataplaneMetrics = "plane-metrics"
	dataplaneHealth  = "plane-health"
)

func hostPort(name string, port int32) corev1.ContainerPort {
	return corev1.ContainerPort{Name: name, ContainerPort: port, HostPort: port, Protocol: corev1.ProtocolTCP}
}

// dataplaneHealthPort is the health port of the pod that enforces and of the pod
// that uninstalls. Only one of them can have this host port: the scheduler
// starts neither of them on a node before the other one has ended, and a process
// that cannot bind the port exits before it changes anything.
func dataplaneHealthPort() corev1.ContainerPort {
	port := hostPort(dataplaneHealth, DataplaneHealthPort)
	port.HostIP = loopback
	return port
}

const (
	stateVolumeName = "state"
	tokenVolumeName = "token"
	// tokenPath is the directory where client-go looks for the token of a
	// service account.
	tokenPath = "/var/run/secrets/kubernetes.io/serviceaccount"
	// tokenSeconds is the lifetime of a token. The kubelet renews it.
	tokenSeconds = 3600
)

func stateMount() corev1.VolumeMount {
	return corev1.VolumeMount{Name: stateVolumeName, MountPath: StateDir}
}

// stateVolume is a directory of the node. It outlives pods, so a new pod
// continues with the tree of the previous one.
func stateVolume() corev1.Volume {
	return corev1.Volume{Name: stateVolumeName, VolumeSource: corev1.VolumeSource{
		HostPath: &corev1.HostPathVolumeSource{Path: StateDir, Type: ptr.To(corev1.HostPathDirectoryOrCreate)},
	}}
}

// tokenVolume has the credentials of the service account. Kubernetes would mount
// its own volume into every container; this one is mounted into the agent only.
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

// resourceRequirements returns nil if the spec does not mention the container.
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
