package process

import (
	"fmt"
	"os"
	"os/exec"
)

// module is the import path of the project.
const module = "github.com/sluicenet/sluice"

// Build builds a program of the project into a file, as a static binary. The
// folder of its package is relative to the root of the project, such as
// cmd/sluice. More flags of go build may follow.
func Build(path, folder string, flags ...string) error {
	args := append([]string{"build", "-trimpath", "-o", path}, flags...)
	cmd := exec.Command("go", append(args, module+"/"+folder)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", folder, err, out)
	}
	return nil
}

// roleVariable is the environment variable with the role of a test binary.
const roleVariable = "SLUICE_TEST_ROLE"

// Role returns the role in which this test binary was started by Self. It is
// empty if the binary is to run tests. TestMain calls it first.
func Role() string { return os.Getenv(roleVariable) }

// Self returns a command that runs this test binary again in a role, so that a
// test can have a second process without building another program.
func Self(role string, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	return cmd
}
