package apply

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// immediateRepairs is the number of times that an object is repaired without a delay.
	immediateRepairs = 3
	// The delay before a further repair doubles with each repair, from firstDelay to maxDelay.
	firstDelay = time.Second
	maxDelay   = 5 * time.Minute
	// The repair count restarts at zero after a period without repairs. This period is twice the
	// current delay, plus quietMargin.
	quietMargin = 30 * time.Second
)

// contest counts the repairs of one object. A repair is a request that was necessary because
// another client had changed or deleted the object, although the wanted object had not changed.
type contest struct {
	repairs int
	// last is the time of the last repair.
	last time.Time
	// manager describes the other client, or is "" if no repair has found its name yet.
	manager string
}

// delay returns the minimum time between the last repair and the next repair.
func (c *contest) delay() time.Duration {
	if c.repairs < immediateRepairs {
		return 0
	}
	return min(firstDelay<<min(c.repairs-immediateRepairs, 16), maxDelay)
}

// isOver reports whether the object has stayed unchanged so long that the other client has probably
// stopped changing it.
func (c *contest) isOver(now time.Time) bool { return now.Sub(c.last) > 2*c.delay()+quietMargin }

// active reports whether the repairs of the object are delayed.
func (c *contest) active(now time.Time) bool { return c.delay() > 0 && !c.isOver(now) }

// wait returns the time until the next repair is allowed.
func (c *contest) wait(now time.Time) time.Duration { return max(c.delay()-now.Sub(c.last), 0) }

// repair counts a repair.
func (c *contest) repair(now time.Time) {
	if c.isOver(now) {
		*c = contest{}
	}
	c.repairs++
	c.last = now
}

// Conflicts returns a line for each object whose repairs are delayed because another client
// changes it repeatedly. The line names the object and the other client. The lines are sorted.
func (a *Applier) Conflicts() []string {
	var out []string
	for key, c := range a.contests {
		if c.active(a.now()) {
			out = append(out, fmt.Sprintf("%s %s: %s", key.kind.Kind, key.path(), cmp.Or(c.manager, "another client changes it repeatedly")))
		}
	}
	slices.Sort(out)
	return out
}

// Wait returns the time until the next delayed repair, or the given limit if that is shorter.
func (a *Applier) Wait(limit time.Duration) time.Duration {
	for _, c := range a.contests {
		if c.active(a.now()) && c.wait(a.now()) > 0 {
			limit = min(limit, c.wait(a.now()))
		}
	}
	return limit
}

// managerOf matches the name of a field manager in the message of a conflict.
var managerOf = regexp.MustCompile(`conflict with ("[^"]*")`)

// describeManager describes a conflict of field managers. The text names the other manager and the
// first field in conflict. If the error is not such a conflict, the text is empty.
func describeManager(err error) string {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Details == nil {
		return ""
	}
	for _, cause := range status.Status().Details.Causes {
		if match := managerOf.FindStringSubmatch(cause.Message); match != nil && cause.Type == metav1.CauseTypeFieldManagerConflict {
			return fmt.Sprintf("field manager %s changes %s repeatedly", match[1], cause.Field)
		}
	}
	return ""
}
