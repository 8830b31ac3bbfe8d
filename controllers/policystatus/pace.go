package policystatus

import (
	"sync"
	"time"
)

// pauseRatio determines how long the reconciler pauses after an observation of a
// ClusterNetworkPolicy: pauseRatio times the duration of the observation. In a cluster with
// 100,000 pods, an observation of a policy that selects all pods takes about 0.1 s, and each
// change of a pod causes one. The pause limits observations to about 5 percent of a processor.
const pauseRatio = 20

// pace limits the processor time of a repeated task. The zero value is ready to use.
type pace struct {
	mu   sync.Mutex
	next time.Time
}

// wait returns the time until the task may run.
func (p *pace) wait(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(p.next.Sub(now), 0)
}

// done records a run of the task.
func (p *pace) done(began, ended time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = ended.Add(pauseRatio * ended.Sub(began))
}
