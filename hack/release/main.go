// Command release builds and verifies the artefacts of a release.
//
//	release build -root PROJECT -version VERSION -repository REGISTRY -out DIRECTORY -key FILE
//	release verify -key FILE DIRECTORY
//	release key FILE
//	release image -root PROJECT -out FILE
//
// The command build writes the artefacts. Two builds of the same commit write identical artefacts.
// With a key, it also writes signatures. The command verify checks the artefacts and their
// signatures. The command key generates a key. The command image writes only the image.
//
// The command is a separate Go module, because its libraries have many dependencies.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/sluicenet/sluice/hack/release/signing"
)

// keyVariable is the environment variable that contains the path of the key.
const keyVariable = "RELEASE_KEY"

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("the command is missing: use build, verify, key or image")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	b := build{log: os.Stdout}
	flags.StringVar(&b.root, "root", "../..", "`directory` of the project")
	flags.StringVar(&b.out, "out", "", "`path` to write to: a new directory for build, or a file for image")
	flags.StringVar(&b.version, "version", "", "`version` of the release, which must equal the file VERSION")
	flags.StringVar(&b.repository, "repository", "ghcr.io/sluicenet", "`registry` and path of the images")
	flags.StringVar(&b.downloads, "downloads", "https://github.com/sluicenet/sluice/releases/download", "`URL` from which users download the artefacts, without the version")
	clients := flags.String("clients", defaultClients, "`platforms` for which the release contains only the client, separated by spaces")
	key := flags.String("key", os.Getenv(keyVariable), "PEM `file` with the private key for build, or the public key for verify (default $"+keyVariable+")")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if args[0] == "verify" || args[0] == "key" {
		if flags.NArg() != 1 {
			return fmt.Errorf("%s: want one argument", args[0])
		}
	}
	var err error
	if b.clients, err = parsePlatforms(*clients); err != nil {
		return err
	}
	switch args[0] {
	case "build":
		return b.release(ctx, *key)
	case "verify":
		return verify(ctx, flags.Arg(0), *key)
	case "key":
		return signing.Generate(flags.Arg(0))
	case "image":
		return b.onlyImage(ctx)
	}
	return fmt.Errorf("unknown command %s: use build, verify, key or image", args[0])
}
