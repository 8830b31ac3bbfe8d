// Command kubeassets builds the kube-apiserver and the etcd that tests run, from the
// Go modules that hack/kube/go.mod pins, and prints their directory:
//
//	export KUBEBUILDER_ASSETS=$(go run ./hack/kubeassets)
//
// The directory is in the user's cache, and its name depends on the pinned versions.
// Only the first call builds the programs, which takes 4 minutes on two cores. If
// KUBEBUILDER_ASSETS is set already, the command prints its value and builds
// nothing.
package main

import (
	"fmt"
	"os"
)

func main() {
	directory, err := assets()
	if err != nil {
		fmt.Fprintln(os.Stderr, "kubeassets:", err)
		os.Exit(1)
	}
	fmt.Println(directory)
}
