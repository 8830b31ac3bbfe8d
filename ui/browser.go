package ui

import (
	"context"
	"os"
	"os/exec"
	"runtime"
)

// openBrowser opens an address in the user's browser. If there is no graphical session or no browser,
// it does nothing, because the address is also in the output.
func openBrowser(ctx context.Context, address string) {
	var command *exec.Cmd
	switch {
	case runtime.GOOS == "darwin":
		command = exec.CommandContext(ctx, "open", address)
	case runtime.GOOS == "windows":
		command = exec.CommandContext(ctx, "rundll32", "url.dll,FileProtocolHandler", address)
	case os.Getenv("DISPLAY") != "" || os.Getenv("WAYLAND_DISPLAY") != "":
		command = exec.CommandContext(ctx, "xdg-open", address)
	default:
		return
	}
	if command.Start() == nil {
		go func() { _ = command.Wait() }() // The exit code does not depend on the browser.
	}
}
