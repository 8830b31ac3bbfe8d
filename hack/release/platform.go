package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sluicenet/sluice/hack/release/pack"
)

// platform is an operating system and an architecture, with the names that Go uses.
type platform struct{ system, architecture string }

// architectures lists the architectures of the image. A release also contains an archive with the
// program for each of them.
var architectures = []string{"amd64", "arm64"}

// defaultClients lists the platforms for which a release contains only the commands that read files or
// a cluster.
const defaultClients = "darwin/amd64 darwin/arm64 windows/amd64"

// nodePlatforms returns the platforms of the image.
func nodePlatforms() (out []platform) {
	for _, architecture := range architectures {
		out = append(out, platform{"linux", architecture})
	}
	return out
}

// parsePlatforms parses platforms that are separated by spaces, such as "darwin/arm64 windows/amd64".
func parsePlatforms(text string) (out []platform, err error) {
	for field := range strings.FieldsSeq(text) {
		system, architecture, ok := strings.Cut(field, "/")
		if !ok {
			return nil, fmt.Errorf("%s is not a platform: use, for example, windows/amd64", field)
		}
		out = append(out, platform{system, architecture})
	}
	return out, nil
}

// file returns the name of the program outside an archive. The SBOM uses this name.
func (p platform) file() string { return "sluice-" + p.system + "-" + p.architecture }

// program returns the name of the program in an archive.
func (p platform) program() string {
	if p.system == "windows" {
		return "sluice.exe"
	}
	return "sluice"
}

// archive returns the name of the archive with the program.
func (p platform) archive(version string) string {
	extension := ".tar.gz"
	if p.system == "windows" {
		extension = ".zip"
	}
	return "sluice_" + version + "_" + p.system + "_" + p.architecture + extension
}

// pack returns an archive with the program and other files.
func (p platform) pack(program []byte, others map[string]pack.File, at time.Time) ([]byte, error) {
	files := map[string]pack.File{p.program(): {Content: program, Executable: true}}
	for name, file := range others {
		files[name] = file
	}
	write := pack.WriteCompressed
	if p.system == "windows" {
		write = pack.WriteZip
	}
	var out bytes.Buffer
	err := write(&out, files, at)
	return out.Bytes(), err
}

// unpack returns the program in an archive.
func (p platform) unpack(directory, version string) ([]byte, error) {
	content, err := os.ReadFile(filepath.Join(directory, p.archive(version)))
	if err != nil {
		return nil, err
	}
	var files map[string][]byte
	if p.system == "windows" {
		files, err = pack.ReadZip(content)
	} else {
		files, err = pack.ReadCompressed(bytes.NewReader(content))
	}
	if err == nil && files[p.program()] == nil {
		err = errors.New("the program is missing")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.archive(version), err)
	}
	return files[p.program()], nil
}
