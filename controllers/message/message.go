// Package message composes the texts of conditions and Events.
package message

import (
	"fmt"
	"strings"
)

// Limit is the maximum length of a text in a condition or an Event, in bytes. The API server
// rejects Events with longer notes.
const Limit = 1024

// Truncate shortens a text to at most limit bytes. A shortened text ends with
// " ...".
func Truncate(text string, limit int) string {
	const more = " ..."
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit-len(more)], "") + more
}

// Join joins the first three texts of a list. If the list contains more texts, Join appends
// the number of the remaining texts.
func Join(all []string, separator string) string {
	const shown = 3
	if len(all) <= shown {
		return strings.Join(all, separator)
	}
	return fmt.Sprintf("%s and %d more", strings.Join(all[:shown], separator), len(all)-shown)
}
