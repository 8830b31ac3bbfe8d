// Package resolve contains the checks that determine whether pods can send queries to DNS servers.
package resolve
