package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// flagsPage returns the page with the help of all commands. It builds the program sluice and runs
// it.
func flagsPage(project string) (string, error) {
	folder, err := os.MkdirTemp("", "refdocs")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(folder)
	sluice, plugin := program(filepath.Join(folder, "sluice")), program(filepath.Join(folder, "kubectl-sluice"))
	build := exec.Command("go", "build", "-o", string(sluice), "./cmd/sluice")
	build.Dir, build.Stderr = project, os.Stderr
	if err := build.Run(); err != nil {
		return "", err
	}
	if err := os.Symlink("sluice", string(plugin)); err != nil {
		return "", err
	}
	var out strings.Builder
	out.WriteString(header("Flags", `This page contains the help of every command, as `+"`sluice COMMAND --help`"+` prints it. It is
		for users and administrators. [commands.md](../commands.md) describes the input and the output of the
		commands.`))
	helps, err := sluice.helps("health")
	if err != nil {
		return "", err
	}
	for _, h := range helps {
		writeHelp(&out, "sluice "+h.command, h.text)
	}
	options, err := sluice.run("options")
	if err != nil {
		return "", err
	}
	writeHelp(&out, "Connection flags", options, "Commands that read a cluster also accept these flags of kubectl. `sluice options` lists them.")
	of, err := plugin.helps()
	if err != nil {
		return "", err
	}
	for _, h := range differing(of, helps) {
		writeHelp(&out, "kubectl sluice "+h.command, h.text, "The kubectl plugin reads the cluster by default, so its flags differ from those of `sluice "+h.command+"`.")
	}
	return out.String(), nil
}

// writeHelp writes a section with a text that the program prints.
func writeHelp(out *strings.Builder, title, text string, intro ...string) {
	fmt.Fprintf(out, "\n## %s\n\n", title)
	for _, paragraph := range intro {
		out.WriteString(wrap(paragraph) + "\n")
	}
	fmt.Fprintf(out, "```\n%s```\n", text)
}

// help is the help of a command.
type help struct{ command, text string }

// flags returns the list of flags in the help.
func (h help) flags() string {
	_, flags, _ := strings.Cut(h.text, "\nFlags:\n")
	return flags
}

// differing returns the elements of `of` whose flags differ from the flags of the same command in
// `from`.
func differing(of, from []help) []help {
	flags := map[string]string{}
	for _, h := range from {
		flags[h.command] = h.flags()
	}
	var out []help
	for _, h := range of {
		if flags[h.command] != h.flags() {
			out = append(out, h)
		}
	}
	return out
}

// program is the path of an executable file.
type program string

// helps returns the help of each command, in alphabetical order. The parameter `hidden` contains
// the names of hidden commands, whose help is also returned.
func (p program) helps(hidden ...string) ([]help, error) {
	// The hidden command __complete of cobra prints each command and its summary, separated by a tab.
	completions, err := p.run("__complete", "")
	if err != nil {
		return nil, err
	}
	commands := hidden
	for line := range strings.Lines(completions) {
		if command, _, found := strings.Cut(line, "\t"); found && command != "help" {
			commands = append(commands, command)
		}
	}
	slices.Sort(commands)
	var out []help
	for _, command := range commands {
		text, err := p.run(command, "--help")
		if err != nil {
			return nil, err
		}
		out = append(out, help{command, text})
	}
	return out, nil
}

// run runs the program without environment variables, which could change defaults, and returns its
// standard output.
func (p program) run(args ...string) (string, error) {
	cmd := exec.Command(string(p), args...)
	cmd.Env = []string{}
	output, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w", cmd, err)
	}
	return string(output), nil
}
