// Package phrase formats lists, numbers, verdicts and the places of rules in messages.
package phrase

import (
	"fmt"
	"strings"
	"time"

	"github.com/sluicenet/sluice/dataplane/rule"
)

// MaxNames is the maximum number of names that the function Few lists.
const MaxNames = 5

// Few joins names with commas. If there are more than five names, Few lists the first five
// and appends the number of remaining names.
func Few(names []string) string {
	if len(names) > MaxNames {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:MaxNames], ", "), len(names)-MaxNames)
	}
	return strings.Join(names, ", ")
}

// Number returns a number and a noun, such as "1 policy" or "2 policies".
func Number(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// Place identifies a rule in its policy, such as "ingress[0]".
func Place(d rule.Direction, index int) string { return fmt.Sprintf("%s[%d]", d, index) }

// Verdict returns "Allowed" or "Denied" for the beginning of a sentence.
func Verdict(verdict string) string {
	if verdict == rule.Allow.String() {
		return "Allowed"
	}
	return "Denied"
}

// Age returns a duration as text. It rounds a duration below one hour to seconds, and a duration below
// two days to minutes. It truncates a longer duration to days.
func Age(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Hour:
		return d.Round(time.Second).String()
	case d < 2*day:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	default:
		return fmt.Sprintf("%d days", int(d/day))
	}
}
