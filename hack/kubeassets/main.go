// Command kubeassets builds the kube-apiserver and etcd that tests start, from
// the Go modules that hack/kube/go.mod pins, and prints the directory that has
// them:
//
//	export KUBEBUILDER_ASSETS=$(go run ./hack/kubeassets)
//
// The directory is in the user's cache and named after what is in it, so that
// only the first call builds: 4 minutes on two cores. A KUBEBUILDER_ASSETS that
// is set already is printed as it is, and nothing is built.
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
