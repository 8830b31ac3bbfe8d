package desired

import (
	corev1 "k8s.io/api/core/v1"
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
		// The kubelet needs no registry if the node already contains the image.
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

// livenessProbe returns a probe. If it fails repeatedly, the kubelet restarts the container.
func livenessProbe(container string, failures int32) *corev1.Probe {
	p := probe(10, "health", healthAddress(container))
	p.FailureThreshold = failures
	return p
}

// readinessProbe returns a probe that fails while a container does not do its work.
func readinessProbe(container string, period int32) *corev1.Probe {
	return probe(period, "health", "--ready", healthAddress(container))
}

// probe returns a probe that runs the program. A probe of a port would not be reliable: all
// pods in the host network share the ports of the node, so another pod could respond.
func probe(period int32, arguments ...string) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: append([]string{program}, arguments...)}},
		PeriodSeconds: period, FailureThreshold: 3, TimeoutSeconds: probeSeconds,
	}
}

// healthDir is the directory in which a container serves its health checks.
const healthDir = "/run/health"

func healthAddress(container string) string { return "unix:" + healthDir + "/" + container + ".sock" }

// healthVolume returns a volume for the health checks of one container. Each container of each
// pod has its own volume, so that no container can respond for another container.
func healthVolume(container string) corev1.Volume {
	return corev1.Volume{Name: container + "-health", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}
}

func healthMount(container string) corev1.VolumeMount {
	return corev1.VolumeMount{Name: container + "-health", MountPath: healthDir}
}

// probeSeconds is the timeout of a probe. The timeout is long because a process on a busy
// node can take seconds to respond.
const probeSeconds = 5

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

// stateVolume returns a volume for the state directory. The directory outlives pods, so a new
// pod continues with the tree of the previous pod.
func stateVolume() corev1.Volume {
	return corev1.Volume{Name: stateVolumeName, VolumeSource: corev1.VolumeSource{
		HostPath: &corev1.HostPathVolumeSource{Path: StateDir, Type: ptr.To(corev1.HostPathDirectoryOrCreate)},
	}}
}

// resultsVolume returns a volume for the directory of CNI results. If the directory does not
// exist on a node, the kubelet creates it, so that the pod can start.
func resultsVolume(dir string) corev1.Volume {
	return corev1.Volume{Name: resultsVolumeName, VolumeSource: corev1.VolumeSource{
		HostPath: &corev1.HostPathVolumeSource{Path: dir, Type: ptr.To(corev1.HostPathDirectoryOrCreate)},
	}}
}

// tokenVolume returns a volume with the credentials of the service account. Only the agent
// mounts this volume. The default token volume of Kubernetes is disabled, because every
// container would mount it.
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

// resourceRequirements returns the resources that the Enforcer specifies for a container,
// or nil if the Enforcer does not specify the container.
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
