package sbom

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-cmp/cmp"
)

// Check returns an error unless the SBOM lists exactly the programs and the modules that they link,
// with the checksums of the modules.
func Check(text []byte, programs []string) error {
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(bytes.NewReader(text), cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		return fmt.Errorf("reading the SBOM: %w", err)
	}
	if bom.Components == nil || bom.Dependencies == nil || bom.Metadata == nil || bom.Metadata.Component == nil {
		return errors.New("the SBOM has no components")
	}
	listed := map[string]cdx.Component{bom.Metadata.Component.BOMRef: *bom.Metadata.Component}
	for _, component := range *bom.Components {
		if _, ok := listed[component.BOMRef]; ok {
			return fmt.Errorf("the SBOM lists %s twice", component.BOMRef)
		}
		listed[component.BOMRef] = component
	}
	used := map[string]*[]string{}
	for _, dependency := range *bom.Dependencies {
		used[dependency.Ref] = dependency.Dependencies
		for _, reference := range append([]string{dependency.Ref}, *dependency.Dependencies...) {
			if _, ok := listed[reference]; !ok {
				return fmt.Errorf("the SBOM has a dependency on %s, which it does not list", reference)
			}
		}
	}
	for _, program := range programs {
		file, modules, err := describe(program)
		if err != nil {
			return err
		}
		for _, wanted := range append(modules, *file) {
			if diff := cmp.Diff(wanted, listed[wanted.BOMRef]); diff != "" {
				return fmt.Errorf("the SBOM differs from the program %s (-program +SBOM):\n%s", file.Name, diff)
			}
		}
		for _, reference := range *references(modules) {
			if used[file.BOMRef] == nil || !slices.Contains(*used[file.BOMRef], reference) {
				return fmt.Errorf("the SBOM does not state that %s links %s", file.Name, reference)
			}
		}
	}
	return nil
}
