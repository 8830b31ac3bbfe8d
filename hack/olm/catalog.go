package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"text/template"

	"github.com/blang/semver/v4"
	"github.com/operator-framework/operator-registry/alpha/action"
	"github.com/operator-framework/operator-registry/alpha/declcfg"
	"github.com/operator-framework/operator-registry/pkg/image"
	"github.com/operator-framework/operator-registry/pkg/registry"
)

// catalog reads the bundle in a directory, and returns a valid catalog that contains the previous
// catalog and this bundle. The parameter `from` is the name of the bundle image that clusters pull.
func catalog(ctx context.Context, directory, from string, previous *declcfg.DeclarativeConfig) (*declcfg.DeclarativeConfig, error) {
	reference, err := template.New("image").Parse(fmt.Sprintf("{{%q}}", from))
	if err != nil {
		return nil, fmt.Errorf("naming the bundle's image: %w", err)
	}
	render := action.Render{Refs: []string{directory}, AllowedRefMask: action.RefBundleDir, ImageRefTemplate: reference}
	rendered, err := render.Run(ctx)
	if err != nil {
		return nil, fmt.Errorf("rendering bundle: %w", err)
	}
	input, err := registry.NewImageInput(image.SimpleReference(from), directory)
	if err != nil {
		return nil, fmt.Errorf("reading bundle: %w", err)
	}
	notes := input.Bundle.Annotations
	config := *previous
	config.Packages = []declcfg.Package{{
		Schema: declcfg.SchemaPackage, Name: notes.PackageName, DefaultChannel: notes.DefaultChannelName,
	}}
	config.Bundles = append(slices.Clone(previous.Bundles), rendered.Bundles...)
	config.Channels = slices.Clone(previous.Channels)
	for name := range strings.SplitSeq(notes.Channels, ",") {
		if err := appendEntry(&config, notes.PackageName, name, input.Bundle.Name); err != nil {
			return nil, err
		}
	}
	if _, err := declcfg.ConvertToModel(config); err != nil {
		return nil, fmt.Errorf("checking catalog: %w", err)
	}
	return &config, nil
}

// appendEntry adds a version to the end of a channel. The new version replaces the newest version
// in the channel. OLM can also upgrade directly to the new version from each older version with the
// same minor version, and from each version with the previous minor version in the channel, because
// Sluice supports such upgrades.
func appendEntry(config *declcfg.DeclarativeConfig, pkg, channel, bundle string) error {
	i := slices.IndexFunc(config.Channels, func(c declcfg.Channel) bool { return c.Name == channel })
	if i < 0 {
		config.Channels = append(config.Channels, declcfg.Channel{Schema: declcfg.SchemaChannel, Name: channel, Package: pkg})
		i = len(config.Channels) - 1
	}
	entries := config.Channels[i].Entries
	entry := declcfg.ChannelEntry{Name: bundle}
	version, err := versionOf(pkg, bundle)
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		head := entries[len(entries)-1].Name
		oldest := semver.Version{Major: version.Major, Minor: version.Minor}
		for _, e := range entries {
			old, err := versionOf(pkg, e.Name)
			if err != nil {
				return err
			}
			if old.GE(version) {
				return fmt.Errorf("channel %s already contains %s, so %s cannot be added", channel, e.Name, bundle)
			}
			if old.Major < version.Major || old.Minor < version.Minor {
				oldest = semver.Version{Major: old.Major, Minor: old.Minor}
			}
		}
		entry.Replaces = head
		entry.SkipRange = fmt.Sprintf(">=%s <%s", oldest, version)
	}
	config.Channels[i].Entries = append(slices.Clone(entries), entry)
	return nil
}

// versionOf returns the version in the name of a bundle, such as sluice.v0.1.0.
func versionOf(pkg, bundle string) (semver.Version, error) {
	version, err := semver.Parse(strings.TrimPrefix(bundle, pkg+".v"))
	if err != nil {
		return version, fmt.Errorf("bundle %s: want the name %s.vVERSION: %w", bundle, pkg, err)
	}
	return version, nil
}
