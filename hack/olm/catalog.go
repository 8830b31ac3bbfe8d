package main

import (
	"context"
	"fmt"
	"strings"
	"text/template"

	"github.com/operator-framework/operator-registry/alpha/action"
	"github.com/operator-framework/operator-registry/alpha/declcfg"
	"github.com/operator-framework/operator-registry/pkg/image"
	"github.com/operator-framework/operator-registry/pkg/registry"
)

// catalog reads the bundle in a directory and returns a valid catalog that contains only this
// bundle. The parameter `from` is the name of the bundle image that clusters pull.
func catalog(ctx context.Context, directory, from string) (*declcfg.DeclarativeConfig, error) {
	reference, err := template.New("image").Parse(fmt.Sprintf("{{%q}}", from))
	if err != nil {
		return nil, fmt.Errorf("naming the bundle's image: %w", err)
	}
	render := action.Render{Refs: []string{directory}, AllowedRefMask: action.RefBundleDir, ImageRefTemplate: reference}
	config, err := render.Run(ctx)
	if err != nil {
		return nil, fmt.Errorf("rendering bundle: %w", err)
	}
	input, err := registry.NewImageInput(image.SimpleReference(from), directory)
	if err != nil {
		return nil, fmt.Errorf("reading bundle: %w", err)
	}
	notes := input.Bundle.Annotations
	config.Packages = []declcfg.Package{{
		Schema: declcfg.SchemaPackage, Name: notes.PackageName, DefaultChannel: notes.DefaultChannelName,
	}}
	for name := range strings.SplitSeq(notes.Channels, ",") {
		config.Channels = append(config.Channels, declcfg.Channel{
			Schema: declcfg.SchemaChannel, Name: name, Package: notes.PackageName,
			Entries: []declcfg.ChannelEntry{{Name: input.Bundle.Name}},
		})
	}
	if _, err := declcfg.ConvertToModel(*config); err != nil {
		return nil, fmt.Errorf("checking catalog: %w", err)
	}
	return config, nil
}
