// Command olm prints a file-based catalog of one bundle, as OLM serves it: the
// package, its channel, and the bundle rendered by operator-registry.
//
//	olm -bundle FOLDER -image IMAGE
//
// Its tests check the bundle with the validators of operator-framework. It is a
// module of its own, so that nothing else needs what these import.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/operator-framework/operator-registry/alpha/declcfg"
)

func main() {
	folder := flag.String("bundle", "../../bundle", "`folder` of the bundle")
	image := flag.String("image", "", "`image` of the bundle, from which clusters take it")
	flag.Parse()
	if err := run(*folder, *image); err != nil {
		fmt.Fprintln(os.Stderr, "olm:", err)
		os.Exit(1)
	}
}

func run(folder, image string) error {
	if image == "" {
		return fmt.Errorf("-image is missing: name the bundle's image, such as registry.example/sluice-bundle:0.1.0")
	}
	config, err := catalog(context.Background(), folder, image)
	if err != nil {
		return err
	}
	return declcfg.WriteYAML(*config, os.Stdout)
}
