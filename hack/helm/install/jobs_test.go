package install_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// jobs stands in for the Job controller and the kubelet. For each Job, it runs the program in the
// image with the arguments of the Job, and with a token of the Job's service account.
type jobs struct {
	t       *testing.T
	program string
	client  client.WithWatch

	mu sync.Mutex
	// ran contains the names of the Jobs that ran since the last call of take. output contains the
	// last output of each Job.
	ran    []string
	output map[string]string
}

// startJobs starts to run Jobs, and stops when the test ends.
func startJobs(t *testing.T) *jobs {
	t.Helper()
	j := &jobs{t: t, program: program(t), client: server.Client(t), output: map[string]string{}}
	watch, err := j.client.Watch(t.Context(), &batchv1.JobList{}, client.InNamespace(namespace))
	must(t, err)
	var running sync.WaitGroup
	running.Go(func() {
		for event := range watch.ResultChan() {
			if job, ok := event.Object.(*batchv1.Job); ok && event.Type == "ADDED" {
				if err := j.run(t.Context(), job); err != nil {
					t.Error(err)
				}
			}
		}
	})
	t.Cleanup(func() {
		watch.Stop()
		running.Wait()
	})
	return j
}

// take returns the names of the Jobs that ran since the last call.
func (j *jobs) take() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := j.ran
	j.ran = nil
	return out
}

// outputOf returns the last output of a Job.
func (j *jobs) outputOf(name string) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.output[name]
}

func (j *jobs) run(ctx context.Context, job *batchv1.Job) error {
	pod := &job.Spec.Template.Spec
	account := &corev1.ServiceAccount{}
	if err := j.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: pod.ServiceAccountName}, account); err != nil {
		return fmt.Errorf("the service account of Job %s: %w", job.Name, err)
	}
	command := exec.CommandContext(ctx, j.program, pod.Containers[0].Args...)
	command.Env = append(os.Environ(), "KUBECONFIG="+j.kubeconfig(account.Name))
	out, failure := command.CombinedOutput()
	j.mu.Lock()
	j.ran, j.output[job.Name] = append(j.ran, job.Name), string(out)
	j.mu.Unlock()
	now := metav1.Now()
	job.Status.StartTime = &now
	conditions := []batchv1.JobConditionType{batchv1.JobSuccessCriteriaMet, batchv1.JobComplete}
	if failure != nil {
		conditions = []batchv1.JobConditionType{batchv1.JobFailureTarget, batchv1.JobFailed}
		job.Status.Failed = 1
	} else {
		job.Status.CompletionTime, job.Status.Succeeded = &now, 1
	}
	for _, condition := range conditions {
		job.Status.Conditions = append(job.Status.Conditions, batchv1.JobCondition{
			Type: condition, Status: corev1.ConditionTrue, LastTransitionTime: now, Reason: "Ended",
		})
	}
	return j.client.Status().Update(ctx, job)
}

// kubeconfig writes a kubeconfig with a token of a service account and returns its path.
func (j *jobs) kubeconfig(account string) string {
	config := server.Config()
	path := filepath.Join(j.t.TempDir(), "kubeconfig")
	must(j.t, clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"here": {Server: config.Host, CertificateAuthorityData: config.CAData}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"job": {Token: server.Token(j.t, namespace, account)}},
		Contexts:       map[string]*clientcmdapi.Context{"here": {Cluster: "here", AuthInfo: "job"}},
		CurrentContext: "here",
	}, path))
	return path
}
