// Package ports contains the checks that compare the ports of policies with the ports of pods.
package ports
