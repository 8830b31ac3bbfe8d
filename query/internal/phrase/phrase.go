// Package phrase formats lists and numbers in messages.
package phrase

import (
	"fmt"
	"strings"
)

// maxNames is the maximum number of names that the function Few lists.
const maxNames = 5

// Few joins names with commas. If there are more than five names, Few lists the first five
// and appends the number of remaining names.
func Few(names []string) string {
	if len(names) > maxNames {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxNames], ", "), len(names)-maxNames)
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
