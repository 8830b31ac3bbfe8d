// Command olm reads the OLM bundle of the project with the libraries of operator-framework.
//
//	olm catalog -bundle DIRECTORY -image IMAGE -previous FILE
//	olm install -archive FILE -namespace NAMESPACE
//
// The command catalog prints a file-based catalog, in the format that OLM serves. The catalog
// contains the versions in the previous catalog and the version in the bundle.
//
// The command install prints the objects that OLM creates when it installs a bundle image.
//
// The tests of this package check the bundle with the validators of operator-framework. The
// command is a separate Go module, because these libraries have many dependencies.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/operator-framework/operator-registry/alpha/declcfg"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "olm:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("the command is missing: use catalog or install")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	switch args[0] {
	case "catalog":
		directory := flags.String("bundle", "../../bundle", "`directory` of the bundle")
		image := flags.String("image", "", "`image` of the bundle, which clusters pull")
		previous := flags.String("previous", "../../config/catalog/catalog.yaml", "`file` with the previous catalog")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		return printCatalog(ctx, *directory, *image, *previous)
	case "install":
		archive := flags.String("archive", "", "OCI archive of the bundle image, a `file`")
		namespace := flags.String("namespace", "sluice-system", "`namespace` of the operator")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		return printObjects(ctx, *archive, *namespace)
	}
	return fmt.Errorf("unknown command %s: use catalog or install", args[0])
}

func printCatalog(ctx context.Context, directory, image, previous string) error {
	if image == "" {
		return errors.New("-image is missing: name the image of the bundle, for example registry.example/sluice-bundle:0.1.0")
	}
	before, err := read(previous)
	if err != nil {
		return err
	}
	config, err := catalog(ctx, directory, image, before)
	if err != nil {
		return err
	}
	return declcfg.WriteYAML(*config, os.Stdout)
}

// read reads a catalog from a file.
func read(path string) (*declcfg.DeclarativeConfig, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading the previous catalog: %w", err)
	}
	defer file.Close()
	config, err := declcfg.LoadReader(file)
	if err != nil {
		return nil, fmt.Errorf("reading the previous catalog %s: %w", path, err)
	}
	return config, nil
}
