package ui

import (
	"context"
	"fmt"
	"html"
	"os"
	"os/exec"
	"runtime"
)

// openBrowser opens an address in the user's browser. The address contains the token. Other users
// can read the arguments of programs, so the address must not be an argument. Instead, the argument
// is the path of a file that redirects to the address. Only the user can read this file. The
// returned function removes the file.
//
// If there is no graphical session or no browser, openBrowser does nothing, because the address is
// also in the output.
func openBrowser(ctx context.Context, address string) (remove func()) {
	remove = func() {}
	program := browserCommand()
	if program == nil {
		return remove
	}
	file, err := writeRedirect(address)
	if err != nil {
		return remove
	}
	command := exec.CommandContext(ctx, program[0], append(program[1:], file)...)
	if command.Start() == nil {
		go func() { _ = command.Wait() }() // Ignore the exit code of the browser.
	}
	return func() { _ = os.Remove(file) }
}

// browserCommand returns the command that opens a file in the user's browser, or nil if there is no
// graphical session.
func browserCommand() []string {
	switch {
	case runtime.GOOS == "darwin":
		return []string{"open"}
	case runtime.GOOS == "windows":
		return []string{"rundll32", "url.dll,FileProtocolHandler"}
	case os.Getenv("DISPLAY") != "" || os.Getenv("WAYLAND_DISPLAY") != "":
		return []string{"xdg-open"}
	}
	return nil
}

// writeRedirect writes an HTML file that redirects to an address. Only the user can read the file.
func writeRedirect(address string) (path string, err error) {
	f, err := os.CreateTemp("", "sluice-ui-*.html") // The file has the mode 0600.
	if err != nil {
		return "", fmt.Errorf("creating a file for the browser: %w", err)
	}
	_, err = fmt.Fprintf(f, `<!DOCTYPE html><title>Sluice</title><meta http-equiv="refresh" content="0; url=%s">`+"\n", html.EscapeString(address))
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return "", fmt.Errorf("writing a file for the browser: %w", err)
	}
	return f.Name(), nil
}
