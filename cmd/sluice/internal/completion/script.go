package completion

import (
	_ "embed" // The directive below needs this package.
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

//go:embed kubectl_complete-sluice
var kubectlScript []byte

// WriteScript writes the script that completes command lines of a program in a shell. For the shell
// "kubectl", it writes the program that kubectl runs to complete the arguments of the plugin.
func WriteScript(root *cobra.Command, shell string, out io.Writer) error {
	var err error
	switch shell {
	case "bash":
		err = root.GenBashCompletionV2(out, true)
	case "zsh":
		err = root.GenZshCompletion(out)
	case "fish":
		err = root.GenFishCompletion(out, true)
	case "powershell":
		err = root.GenPowerShellCompletionWithDesc(out)
	case "kubectl":
		_, err = out.Write(kubectlScript)
	}
	if err != nil {
		return fmt.Errorf("writing the script: %w", err)
	}
	return nil
}
