// Command kubeassets builds the programs kube-apiserver and etcd for tests. It builds them from
// the Go modules that hack/kube/go.mod pins, and prints the directory that contains the
// programs:
//
//	export KUBEBUILDER_ASSETS=$(go run ./hack/kubeassets)
//
// The directory is in the user's cache directory. Its name depends on the pinned versions. Only
// the first call builds the programs, which takes 4 minutes on two cores. If KUBEBUILDER_ASSETS
// is already set, the command builds nothing and prints the value of KUBEBUILDER_ASSETS.
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
