package lint

import (
	"fmt"
	"strings"
)

// number returns a number and a noun, such as "1 pod" or "3 pods".
func number(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// few joins words with commas. If there are more than five words, it replaces the remaining
// words with their number, as in "a, b, c, d, e and 2 more".
func few(words []string) string {
	const shown = 5
	if len(words) > shown {
		return fmt.Sprintf("%s and %d more", strings.Join(words[:shown], ", "), len(words)-shown)
	}
	return strings.Join(words, ", ")
}
