// Package agnhost replaces agnhost, a program that the Kubernetes tests run in pods. The pods of
// test/lab do not need the program: Ports returns the ports on which agnhost would listen in a
// container, and Connect does what `agnhost connect` does in a pod. Both functions cover the
// commands and flags that the conformance tests of the Network Policy API use.
//
// Over SCTP, Connect and the servers of test/lab exchange only the first two packets of an
// association, because many kernels do not support SCTP. The verdict depends only on the first
// packet, so the result is the same.
package agnhost
