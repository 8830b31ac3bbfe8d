package desired

import (
	"maps"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/enforcer/startup"
)

const (
	// StateDir is the directory on the node in which the agent and the dataplane exchange trees
	// and status.
	StateDir = "/run/sluice"
	// defaultCNIResults is the directory on the node in which the container runtime stores CNI
	// results, unless the Enforcer specifies another directory.
	defaultCNIResults = "/var/lib/cni/results"
	// NodeGroup is the group ID of the agent and the dataplane. Files that one process creates
	// for the other process belong to this group.
	NodeGroup = 65532
	// agentUser is the user ID of the agent. On the node, this user owns only the trees.
	agentUser = 65532

	// program is the path of the program. The image contains no other file.
	program = "/sluice"
	// stopSeconds is the time that a pod may take to stop. It is short because the rules stay
	// on the node and the pod has no work to finish.
	stopSeconds = 10
	// priorityClass allows the scheduler to evict other pods to make room for the enforcing
	// pod.
	priorityClass = "system-node-critical"
)

// Labels of the pods and of all other objects.
const (
	LabelName      = "app.kubernetes.io/name"
	LabelComponent = "app.kubernetes.io/component"
	LabelManagedBy = "app.kubernetes.io/managed-by"

	AppName            = "sluice"
	ComponentNode      = "node"
	ComponentUninstall = "uninstall"
)

// Labels returns the labels that select the pods of a component.
func Labels(component string) map[string]string {
	return map[string]string{LabelName: AppName, LabelComponent: component}
}

// Pod returns the pod that enforces policies on a node. Its agent has a token but cannot configure
// the network. Its dataplane can configure the network but has no token. The `image` parameter is
// the image for an Enforcer that specifies none.
func Pod(enforcer *v1alpha1.Enforcer, image string) corev1.PodTemplateSpec {
	spec := &enforcer.Spec
	image = imageOf(spec, image)
	prepare := container("prepare", image, asRoot(), nil, "dataplane", "--prepare", "--state-dir", StateDir)
	prepare.VolumeMounts = []corev1.VolumeMount{stateMount()}
	pod := podOnHost(spec, ComponentNode)
	pod.Spec.ServiceAccountName = AgentName
	pod.Spec.InitContainers = []corev1.Container{prepare}
	pod.Spec.Containers = []corev1.Container{agentContainer(spec, image), dataplaneContainer(spec, image)}
	pod.Spec.Volumes = []corev1.Volume{stateVolume(), tokenVolume(), healthVolume("agent"), healthVolume("dataplane")}
	if dir := cniResults(spec); dir != "" {
		pod.Spec.Volumes = append(pod.Spec.Volumes, resultsVolume(dir))
	}
	return pod
}

// UninstallPod returns the pod that removes everything that the dataplane of the same Enforcer
// left on a node. The pod becomes ready once it has verified that nothing is left.
func UninstallPod(enforcer *v1alpha1.Enforcer, image string) corev1.PodTemplateSpec {
	spec := &enforcer.Spec
	arguments := append([]string{
		"dataplane", "--uninstall", "--state-dir", StateDir,
		"--health-address", healthAddress("uninstall"),
	}, markArguments(spec)...)
	uninstall := container("uninstall", imageOf(spec, image), asRoot("NET_ADMIN"), resourceRequirements(spec.Dataplane), arguments...)
	uninstall.VolumeMounts = []corev1.VolumeMount{stateMount(), healthMount("uninstall")}
	uninstall.ReadinessProbe = readinessProbe("uninstall", 1)
	pod := podOnHost(spec, ComponentUninstall)
	// The pod also runs on nodes that the spec does not select now, because these nodes may
	// have enforced policies before.
	pod.Spec.NodeSelector = map[string]string{corev1.LabelOSStable: string(corev1.Linux)}
	pod.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
	pod.Spec.Containers = []corev1.Container{uninstall}
	pod.Spec.Volumes = []corev1.Volume{stateVolume(), healthVolume("uninstall")}
	return pod
}

// podOnHost returns a pod in the host network, without containers.
func podOnHost(spec *v1alpha1.EnforcerSpec, component string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: Labels(component)},
		Spec: corev1.PodSpec{
			HostNetwork: true,
			// The pod must work without the DNS of the cluster. It connects to the API
			// server by IP address.
			DNSPolicy:                     corev1.DNSDefault,
			PriorityClassName:             priorityClass,
			TerminationGracePeriodSeconds: ptr.To[int64](stopSeconds),
			AutomountServiceAccountToken:  ptr.To(false),
			EnableServiceLinks:            ptr.To(false),
			SecurityContext:               securityContext(spec),
			ImagePullSecrets:              pullSecrets(spec),
			NodeSelector:                  linuxSelector(spec.NodeSelector),
			Affinity:                      RealNodes(),
			Tolerations:                   convertTolerations(startup.Tolerations(spec)),
		},
	}
}

func linuxSelector(labels map[string]string) map[string]string {
	out := maps.Clone(labels)
	if out == nil {
		out = map[string]string{}
	}
	out[corev1.LabelOSStable] = string(corev1.Linux)
	return out
}

func convertTolerations(in []v1alpha1.Toleration) []corev1.Toleration {
	var out []corev1.Toleration
	for _, t := range in {
		out = append(out, corev1.Toleration{
			Key: t.Key, Operator: corev1.TolerationOperator(t.Operator), Value: t.Value, Effect: corev1.TaintEffect(t.Effect),
		})
	}
	return out
}

func imageOf(spec *v1alpha1.EnforcerSpec, image string) string {
	if spec.Image != "" {
		return spec.Image
	}
	return image
}

func agentContainer(spec *v1alpha1.EnforcerSpec, image string) corev1.Container {
	user := &corev1.SecurityContext{RunAsUser: ptr.To[int64](agentUser), RunAsNonRoot: ptr.To(true)}
	arguments := append([]string{
		"agent", "--node", "$(NODE_NAME)", "--namespace", "$(POD_NAMESPACE)", "--state-dir", StateDir,
		"--health-address", healthAddress("agent"),
	}, endpointArguments(spec)...)
	arguments = append(arguments, logArguments(&spec.Log)...)
	c := container("agent", image, user, resourceRequirements(spec.Agent), arguments...)
	c.Env = append([]corev1.EnvVar{fromField("NODE_NAME", "spec.nodeName"), fromField("POD_NAMESPACE", "metadata.namespace")}, apiServer(spec)...)
	c.VolumeMounts = []corev1.VolumeMount{
		{Name: stateVolumeName, MountPath: StateDir},
		{Name: tokenVolumeName, MountPath: tokenPath, ReadOnly: true},
		healthMount("agent"),
	}
	// An agent that cannot reach the API server must not be restarted: it is alive, but not
	// ready.
	c.LivenessProbe = livenessProbe("agent", 6)
	c.ReadinessProbe = readinessProbe("agent", 5)
	return c
}

// fromField returns an environment variable with the value of a field of the pod.
func fromField(name, path string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{
		FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: path},
	}}
}

func dataplaneContainer(spec *v1alpha1.EnforcerSpec, image string) corev1.Container {
	results := cniResults(spec)
	arguments := append([]string{
		"dataplane", "--state-dir", StateDir, "--cni-results", results,
		"--health-address", healthAddress("dataplane"),
	}, markArguments(spec)...)
	argument := func(flag, value string) {
		if value != "" {
			arguments = append(arguments, flag, value)
		}
	}
	argument("--failure-policy", string(spec.FailurePolicy))
	argument("--deny", string(spec.DenyAction))
	argument("--queue-base", number(spec.Queues.Base))
	argument("--queues", number(spec.Queues.Count))
	argument("--denial-log", number(spec.DenialLog.LinesPerSecond))
	if spec.Hold != nil {
		argument("--hold", spec.Hold.Duration.String())
	}
	arguments = append(arguments, logArguments(&spec.Log)...)
	c := container("dataplane", image, asRoot("NET_ADMIN"), resourceRequirements(spec.Dataplane), arguments...)
	c.VolumeMounts = []corev1.VolumeMount{stateMount(), healthMount("dataplane")}
	if results != "" {
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: resultsVolumeName, MountPath: results, ReadOnly: true})
	}
	c.LivenessProbe = livenessProbe("dataplane", 3)
	c.ReadinessProbe = readinessProbe("dataplane", 5)
	return c
}

// cniResults returns the directory on the node in which the container runtime stores CNI
// results, or "" if the dataplane must not read it.
func cniResults(spec *v1alpha1.EnforcerSpec) string {
	return ptr.Deref(spec.CNIResults, defaultCNIResults)
}

func markArguments(spec *v1alpha1.EnforcerSpec) []string {
	if spec.MarkMask == "" {
		return nil
	}
	return []string{"--mark-mask", spec.MarkMask}
}

// logArguments returns the arguments that configure the log. It omits defaults, so that
// spec.image can name a release without these flags.
func logArguments(log *v1alpha1.Log) (arguments []string) {
	if log.Level != "" && log.Level != v1alpha1.LogInfo {
		arguments = append(arguments, "--log-level", strings.ToLower(string(log.Level)))
	}
	if log.Format != "" && log.Format != v1alpha1.LogJSON {
		arguments = append(arguments, "--log-format", strings.ToLower(string(log.Format)))
	}
	return arguments
}

func number(n *int32) string {
	if n == nil {
		return ""
	}
	return strconv.Itoa(int(*n))
}
