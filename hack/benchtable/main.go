// Command benchtable runs the project's benchmarks and prints what they
// measured as a table for each package, a row for each benchmark and a column for
// each quantity. A benchmark that was run several times gets its medians.
//
//	benchtable [-bench REGEXP] [-benchtime T] [-count N] [PACKAGE...]
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
)

func main() {
	pattern := flag.String("bench", ".", "run the benchmarks whose name matches this `regexp`")
	duration := flag.String("benchtime", "1s", "run each for this `time`, or Nx times")
	count := flag.Int("count", 1, "run each so many times and print medians")
	flag.Parse()
	packages := flag.Args()
	if len(packages) == 0 {
		packages = []string{"./..."}
	}
	if err := run(*pattern, *duration, *count, packages); err != nil {
		fmt.Fprintln(os.Stderr, "benchtable:", err)
		os.Exit(1)
	}
}

func run(pattern, duration string, count int, packages []string) error {
	args := []string{
		"test", "-run=^$", "-p=1", "-timeout=60m", "-benchmem",
		"-bench=" + pattern, "-benchtime=" + duration, fmt.Sprintf("-count=%d", count),
	}
	command := exec.Command("go", append(args, packages...)...)
	var output bytes.Buffer
	// The raw lines go to standard error as they come: benchmarks take minutes.
	command.Stdout = io.MultiWriter(&output, os.Stderr)
	command.Stderr = os.Stderr
	if err := command.Run(); err != nil {
		return fmt.Errorf("running benchmarks: %w", err)
	}
	results := parse(output.String())
	if len(results.tables) == 0 {
		return errors.New("no benchmark matches")
	}
	fmt.Printf("\n%s, %s/%s, %d CPUs\n%s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), results.cpu)
	return results.print(os.Stdout)
}
