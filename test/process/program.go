package process

import (
	"fmt"
	"os"
	"os/exec"
)

// module is the import path of the project.
const module = "github.com/sluicenet/sluice"

// Build builds a program of the project as a static binary. The `path` parameter is the file to
// which the binary is written. The `folder` parameter is the directory of the program's package,
// relative to the root of the project, such as cmd/sluice. The `flags` parameter contains
// additional flags for go build.
func Build(path, folder string, flags ...string) error {
	args := append([]string{"build", "-trimpath", "-o", path}, flags...)
	cmd := exec.Command("go", append(args, module+"/"+folder)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", folder, err, out)
	}
	return nil
}

// roleVariable is the environment variable that contains the role of a test binary.
const roleVariable = "SLUICE_TEST_ROLE"

// Role returns the role of this process. This is the role with which the function Self started
// this test binary, or "" if the binary was started to run tests. TestMain must call Role
// before it runs tests.
func Role() string { return os.Getenv(roleVariable) }

// Self returns a command that runs this test binary again as a second process. In the second
// process, Role returns the given role. So a test can start a second process without building
// another program.
func Self(role string, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	return cmd
}
