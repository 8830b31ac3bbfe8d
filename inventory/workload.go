package inventory

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/policy"
)

// Workload is an object that creates pods from a pod template: a Deployment, StatefulSet,
// DaemonSet, ReplicaSet, ReplicationController, Job or CronJob.
type Workload struct {
	Kind, Namespace, Name string
	Origin                Origin
	// Pod is a pod that the workload would create. Its name is the kind and the name of the
	// workload, such as deployment/web. It has no addresses.
	Pod policy.Pod
	// Owner is the kind and the name of the workload's controller, such as CronJob/backup. If the
	// workload has no controller, Owner is "".
	Owner string
	// Finished is true for a finished Job, which creates no further pods.
	Finished bool

	labels map[string]string
}

// WorkloadKinds contains the kinds of workloads.
var WorkloadKinds = []string{"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job", "CronJob"}

// controlled contains the kinds of workloads that other objects create.
var controlled = []string{"ReplicaSet", "ReplicationController", "Job"}

// ControllerLabels contains the labels that controllers add to the labels of a pod template. Their
// values differ between the pods of a workload, or change with each rollout.
var ControllerLabels = []string{
	"apps.kubernetes.io/pod-index",
	"batch.kubernetes.io/controller-uid",
	"batch.kubernetes.io/job-completion-index",
	"batch.kubernetes.io/job-name",
	"controller-revision-hash",
	"controller-uid",
	"job-name",
	"pod-template-generation",
	"pod-template-hash",
	"statefulset.kubernetes.io/pod-name",
}

// ReadWorkload converts a workload object and its pod template. It skips invalid ports, and returns
// one error for each skipped port.
func ReadWorkload(kind string, in metav1.Object, template *corev1.PodTemplateSpec) (Workload, policy.FieldErrors) {
	w := Workload{Kind: kind, Name: in.GetName(), labels: template.Labels}
	if owner := metav1.GetControllerOfNoCopy(in); owner != nil {
		w.Owner = owner.Kind + "/" + owner.Name
	}
	pod, errs := policy.ReadPod(&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: in.GetNamespace(), Name: strings.ToLower(kind) + "/" + w.Name, Labels: w.podLabels(), CreationTimestamp: in.GetCreationTimestamp(),
		},
		Spec: template.Spec,
	})
	w.Pod, w.Namespace = *pod, pod.Namespace
	at := "spec.template."
	if kind == "CronJob" {
		at = "spec.jobTemplate.spec.template."
	}
	for i := range errs {
		errs[i].Field = at + errs[i].Field
	}
	return w, errs
}

// podLabels returns the labels of the template. For a Job, it also returns the labels that the API
// server adds to the Job's pods.
func (w *Workload) podLabels() map[string]string {
	if w.Kind != "Job" {
		return w.labels
	}
	out := map[string]string{batchv1.JobNameLabel: w.Name, "job-name": w.Name}
	maps.Copy(out, w.labels)
	return out
}

// String returns the kind and the name of the workload, such as "Deployment shop/web".
func (w *Workload) String() string { return ObjectName(w.Kind, w.Namespace, w.Name) }

// AddTemplates adds a pod for each workload that has no pods, and returns these workloads. The pod
// stands for the pods that the workload would create. Finished pods do not count as pods of a
// workload, because policies do not apply to them. AddTemplates skips a ReplicaSet,
// ReplicationController or Job that another object controls, and a Job that has finished.
func (s *Set) AddTemplates() []*Workload {
	owned, free := s.podsByController()
	var added []*Workload
	for i := range s.Workloads {
		w := &s.Workloads[i]
		if w.Finished || w.Owner != "" && slices.Contains(controlled, w.Kind) {
			continue
		}
		if owned[w.key()] || slices.ContainsFunc(free[w.Namespace], w.creates) {
			continue
		}
		s.Pods = append(s.Pods, Pod{Pod: w.Pod, Origin: w.Origin, Workload: w.Name, Controller: w.Kind, Template: true, NoStatus: true})
		added = append(added, w)
	}
	return added
}

// RunSometimes returns the pods that AddTemplates added for Jobs and CronJobs, which run only
// sometimes. The key is the pod in the format "namespace/name". The value is the kind and the name of
// the workload, such as "CronJob backup".
func (s *Set) RunSometimes() map[string]string {
	out := map[string]string{}
	for i := range s.Pods {
		p := &s.Pods[i]
		if p.Template && (p.Controller == "Job" || p.Controller == "CronJob") {
			out[p.String()] = p.Controller + " " + p.Workload
		}
	}
	return out
}

// key identifies a workload.
func (w *Workload) key() string { return w.Namespace + "/" + w.Kind + "/" + w.Name }

// creates reports whether the pod p has all labels of the workload's pod template. Manifests can
// contain pods that do not refer to their workload.
func (w *Workload) creates(p *Pod) bool {
	if len(w.labels) == 0 {
		return false
	}
	for key, value := range w.labels {
		if got, ok := p.Labels.Lookup(key); !ok || got != value {
			return false
		}
	}
	return true
}

// podsByController returns the keys of the workloads that have unfinished pods. It also returns
// the unfinished pods without a controller, by namespace.
func (s *Set) podsByController() (owned map[string]bool, free map[string][]*Pod) {
	owned, free = map[string]bool{}, map[string][]*Pod{}
	owners := map[string]string{}
	for i := range s.Workloads {
		w := &s.Workloads[i]
		owners[w.key()] = w.Owner
	}
	for i := range s.Pods {
		p := &s.Pods[i]
		switch key := p.Pod.Namespace + "/" + p.Controller + "/" + p.Workload; {
		case p.Finished:
		case p.Controller == "":
			free[p.Pod.Namespace] = append(free[p.Pod.Namespace], p)
		default:
			owned[key] = true
			if owner := owners[key]; owner != "" {
				owned[p.Pod.Namespace+"/"+owner] = true
			} else if name, ok := CronJobOf(p.Workload); ok && p.Controller == "Job" {
				owned[p.Pod.Namespace+"/CronJob/"+name] = true
			}
		}
	}
	return owned, free
}

// CronJobOf returns the name of the CronJob to which a Job with the given name can belong. The
// name of a CronJob's Job is the name of the CronJob followed by a number, such as
// backup-28900000. If the given name has another form, ok is false.
func CronJobOf(job string) (name string, ok bool) {
	at := strings.LastIndexByte(job, '-')
	if at < 1 {
		return "", false
	}
	if _, err := strconv.ParseUint(job[at+1:], 10, 64); err != nil {
		return "", false
	}
	return job[:at], true
}
