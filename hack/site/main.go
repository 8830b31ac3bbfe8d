// Command site writes the documentation as HTML pages. The pages need no JavaScript and load nothing
// from other hosts, so a web server that serves files can serve them, and a browser can open them
// from a disk.
//
//	site [-ref REF] PROJECT FOLDER
//
// PROJECT is the root directory of the project. The command creates FOLDER, which must not exist.
// The same sources result in the same files.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/sluicenet/sluice/hack/files"
)

func main() {
	ref := flag.String("ref", "main", "link to files of the repository at this branch, tag or commit")
	flag.Parse()
	if flag.NArg() != 2 {
		fmt.Fprintln(os.Stderr, "usage: site [-ref REF] PROJECT FOLDER")
		os.Exit(2)
	}
	if err := write(flag.Arg(0), *ref, flag.Arg(1)); err != nil {
		fmt.Fprintln(os.Stderr, "site:", err)
		os.Exit(1)
	}
}

// write writes the site to a folder.
func write(project, ref, folder string) error {
	content, err := build(os.DirFS(project), ref)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(folder), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(folder, 0o755); err != nil {
		return err
	}
	return files.Write(folder, content)
}
