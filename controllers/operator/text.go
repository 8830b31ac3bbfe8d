package operator

import "strings"

// shortened cuts a text to a number of bytes that a field can hold.
func shortened(text string, limit int) string {
	const more = " ..."
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit-len(more)], "") + more
}
