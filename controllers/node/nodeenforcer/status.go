package nodeenforcer

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/node/newpods"
	"github.com/sluicenet/sluice/controllers/node/observed"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/tree"
	"github.com/sluicenet/sluice/internal/buildinfo"
)

// Observation contains the parts of the agent from which the status is computed.
type Observation struct {
	// At is the time of the observation.
	At time.Time
	// Published is the last publication of this agent. Its generation is 0 before the first
	// publication.
	Published Publication
	// PublishErr is the error of the last attempt to publish, or nil if it succeeded.
	PublishErr error
	// ConnectionErr is nil while the API server responds to the requests of the caches.
	ConnectionErr error
	// Sandboxes is the newest list of sandboxes that the dataplane published. It is nil before
	// the first list. SandboxesErr is the error if a newer list cannot be read.
	Sandboxes    *report.Sandboxes
	SandboxesErr error
	// Dataplane is the newest status of the dataplane, or nil if the dataplane does not
	// respond. Pointers to different statuses are never equal.
	Dataplane *report.Status
	// Endpoint describes the port of the agent, or is nil while the agent serves no status.
	Endpoint *v1alpha1.NodeEndpoint
}

// Publication describes a published tree.
type Publication struct {
	Generation uint64
	// At is the time of the publication.
	At time.Time
	// Took is the duration of compiling and publishing the tree.
	Took time.Duration
	// Size is the size of the tree in bytes.
	Size int64
}

// Source computes the status of one node. Its methods must not be called concurrently.
type Source struct {
	// StateDir is the state directory of the node.
	StateDir string
	// EnforcedBy returns the digests of the policies that a generation enforces, in the format
	// of digest.Join. It returns false if the generation is too old or was published by an
	// earlier agent.
	EnforcedBy func(generation uint64) (digests []byte, ok bool)

	// The `counted` field is the generation of the tree in which pods and policies were counted.
	// The `addressed` field is the number of pods with addresses.
	counted   uint64
	pods      v1alpha1.PodCounts
	addressed int
	policies  int32
	// newPods computes the conditions about new pods.
	newPods newpods.Conditions
	// The `before` field is the dataplane status that was read last. It is nil until the dataplane
	// responds.
	before *report.Status
	// The `repaired` field is the time at which the number of repairs last increased. The `dropped`
	// field is the time at which the number of dropped packets last increased.
	repaired, dropped time.Time
	// The `progress` field is the newest acknowledged generation that was observed. While the
	// dataplane is behind, the `progressed` field is the time at which this generation was first
	// observed. Otherwise, it is the time of the last observation.
	progress   int64
	progressed time.Time
	// acknowledged is the newest generation that the dataplane acknowledged.
	acknowledged *v1alpha1.Generation
	// enforced contains the digests of the policies that the acknowledged generation enforces. It
	// is nil until the dataplane acknowledges a generation that this agent published.
	enforced []byte
}

// Status returns the status for an observation.
func (s *Source) Status(o *Observation) (v1alpha1.NodeEnforcerStatus, error) {
	out := v1alpha1.NodeEnforcerStatus{BootID: bootID(), Endpoint: o.Endpoint, Versions: v1alpha1.NodeVersions{Agent: buildinfo.Version()}}
	if published := &o.Published; published.Generation != 0 {
		out.Published = &v1alpha1.Generation{
			Number: int64(published.Generation), Time: metav1.NewMicroTime(published.At.Truncate(time.Microsecond)),
		}
		out.Tree = &v1alpha1.Tree{SizeBytes: published.Size, CompileMicroseconds: published.Took.Microseconds()}
		if s.counted != published.Generation {
			if err := s.count(); err != nil {
				return out, err
			}
		}
	}
	out.Pods, out.Policies = s.pods, s.policies
	if o.Dataplane != nil {
		out.Versions.Dataplane = o.Dataplane.Version
		s.describe(&out, o.Dataplane)
	}
	out.Acknowledged, out.Enforced = s.acknowledged, s.enforced
	s.observeProgress(out.Published, o.At)
	behind := o.At.Sub(s.progressed) > behindDelay
	out.Conditions = append(
		[]metav1.Condition{readyCondition(&out, o.Dataplane, behind), syncedCondition(o), s.degradedCondition(o), observed.Condition(o.Dataplane)},
		s.newPods.At(newpods.Observation{
			Sandboxes: o.Sandboxes, SandboxesErr: o.SandboxesErr, AddressedPods: s.addressed, Dataplane: o.Dataplane,
		}, o.At)...)
	return out, nil
}

// count counts the pods and the policies in the published tree.
func (s *Source) count() error {
	t, err := tree.Open(statedir.Current(s.StateDir))
	if err != nil {
		return err
	}
	s.counted, s.pods, s.addressed = t.Generation(), v1alpha1.PodCounts{}, 0
	for pod := range t.Pods() {
		s.pods.Local++
		if pod.DeniesIngress || pod.DeniesEgress {
			s.pods.Isolated++
		}
		if len(pod.Addresses) > 0 {
			s.addressed++
		}
	}
	s.policies = int32(len(t.Policies()))
	return t.Close()
}

// describe adds the status of the dataplane to the status of the node.
func (s *Source) describe(out *v1alpha1.NodeEnforcerStatus, running *report.Status) {
	if running.Generation != 0 && (s.acknowledged == nil || s.acknowledged.Number != int64(running.Generation)) {
		s.acknowledged = &v1alpha1.Generation{Number: int64(running.Generation), Time: metav1.NowMicro()}
	}
	if s.acknowledged != nil {
		// While generations are published faster than statuses are read, the acknowledged
		// generation is usually older than the published generation.
		if digests, ok := s.EnforcedBy(uint64(s.acknowledged.Number)); ok {
			s.enforced = append([]byte{}, digests...)
		}
	}
	v := &running.Verdicts
	out.Verdicts = v1alpha1.Verdicts{Allowed: int64(v.Accepted), Denied: int64(v.Denied)}
	for _, n := range v.Unreadable {
		out.Verdicts.Unreadable += int64(n)
	}
	out.QueueDrops = int64(drops(running))
	again := &running.Reevaluated
	out.ConnectionsReevaluated = int64(again.Accepted + again.Denied + again.Cleared)
	if running.Queueing == "" {
		// The dataplane has no tree yet.
		return
	}
	out.Kernel = &v1alpha1.Kernel{Release: kernelRelease()}
	// The dataplane reports one of these two texts in the field Queueing of its status.
	switch running.Queueing {
	case "queue expression":
		out.Kernel.Queueing = v1alpha1.QueueExpression
	case "NFQUEUE target":
		out.Kernel.Queueing = v1alpha1.QueueTarget
	}
}

func kernelRelease() string {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return ""
	}
	return unix.ByteSliceToString(name.Release[:])
}

// bootID returns the boot ID that the kubelet also reports, or "" if it cannot be read.
func bootID() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(id))
}
