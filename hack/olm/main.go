// Command olm prints a file-based catalog with a single bundle, in the format that
// OLM serves. The catalog contains the package, its channel, and the bundle as
// operator-registry renders it.
//
//	olm -bundle DIRECTORY -image IMAGE
//
// The tests of this package check the bundle with the validators of
// operator-framework. The command is a separate Go module, because the validators
// have many dependencies.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/operator-framework/operator-registry/alpha/declcfg"
)

func main() {
	directory := flag.String("bundle", "../../bundle", "`directory` of the bundle")
	image := flag.String("image", "", "`image` of the bundle, which clusters pull")
	flag.Parse()
	if err := run(*directory, *image); err != nil {
		fmt.Fprintln(os.Stderr, "olm:", err)
		os.Exit(1)
	}
}

func run(directory, image string) error {
	if image == "" {
		return fmt.Errorf("-image is missing: name the image of the bundle, for example registry.example/sluice-bundle:0.1.0")
	}
	config, err := catalog(context.Background(), directory, image)
	if err != nil {
		return err
	}
	return declcfg.WriteYAML(*config, os.Stdout)
}
