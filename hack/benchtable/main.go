// Command benchtable runs the project's benchmarks and prints a table for each package, with a
// row for each benchmark and a column for each quantity. If a benchmark ran several times, the
// table contains the median. The command then compares the results with the limits in
// limits.yaml. With -enforce, it exits with status 1 if a result violates its limit.
//
//	benchtable [-bench REGEXP] [-benchtime T] [-count N] [-enforce] [PACKAGE...]
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
	duration := flag.String("benchtime", "1s", "run each benchmark for this `time`, or N times with Nx")
	count := flag.Int("count", 1, "run each benchmark this many times and print medians")
	enforce := flag.Bool("enforce", false, "fail if a result is over its limit")
	flag.Parse()
	packages := flag.Args()
	if len(packages) == 0 {
		packages = []string{"./..."}
	}
	err := run(*pattern, *duration, *count, packages)
	if errors.Is(err, errOverLimit) && !*enforce {
		err = nil
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchtable:", err)
		os.Exit(1)
	}
}

func run(pattern, duration string, count int, packages []string) error {
	limits, err := readLimits(limitsFile)
	if err != nil {
		return err
	}
	if packages, err = withBenchmarks(packages); err != nil {
		return err
	}
	if len(packages) == 0 {
		return errors.New("no package has a benchmark")
	}
	args := []string{
		"test", "-run=^$", "-p=1", "-timeout=60m", "-benchmem",
		"-bench=" + pattern, "-benchtime=" + duration, fmt.Sprintf("-count=%d", count),
	}
	command := exec.Command("go", append(args, packages...)...)
	var output bytes.Buffer
	// The benchmarks take minutes, so also print each line as soon as it arrives.
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
	if err := results.print(os.Stdout); err != nil {
		return err
	}
	if duration == "1x" {
		return nil // Do not compare results of a single iteration with the limits, because they are too imprecise.
	}
	return compare(os.Stdout, limits, &results)
}
