package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/operator-framework/api/pkg/manifests"
	"github.com/operator-framework/api/pkg/operators/v1alpha1"
	"github.com/operator-framework/operator-lifecycle-manager/pkg/api/wrappers"
	"github.com/operator-framework/operator-lifecycle-manager/pkg/controller/install"
	"github.com/operator-framework/operator-lifecycle-manager/pkg/controller/registry/resolver"
	"github.com/operator-framework/operator-registry/pkg/api"
	"github.com/operator-framework/operator-registry/pkg/image"
	"github.com/operator-framework/operator-registry/pkg/registry"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// printObjects prints the objects that OLM creates for the bundle image in an archive, as a JSON
// list.
func printObjects(ctx context.Context, archive, namespace string) error {
	directory, err := os.MkdirTemp("", "bundle-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(directory)
	if err := unpack(ctx, archive, directory); err != nil {
		return err
	}
	objects, err := installed(directory, namespace)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(map[string]any{"apiVersion": "v1", "kind": "List", "items": objects}, "", "  ")
	if err != nil {
		return fmt.Errorf("writing objects: %w", err)
	}
	_, err = fmt.Println(string(text))
	return err
}

// installed returns the objects that OLM creates when it installs the bundle in a directory: the
// objects of the InstallPlan, and then the Deployments of the install strategy. It omits the
// ClusterServiceVersion, and the owner references to the ClusterServiceVersion.
func installed(directory, namespace string) ([]*unstructured.Unstructured, error) {
	if err := findFaults(directory); err != nil {
		return nil, err
	}
	input, err := registry.NewImageInput(image.SimpleReference("bundle"), directory)
	if err != nil {
		return nil, fmt.Errorf("reading bundle: %w", err)
	}
	name, _, csv, content, _, err := input.Bundle.Serialize()
	if err != nil {
		return nil, fmt.Errorf("reading bundle: %w", err)
	}
	texts, err := registry.BundleStringToObjectStrings(string(content))
	if err != nil {
		return nil, fmt.Errorf("reading bundle: %w", err)
	}
	bundle := &api.Bundle{CsvName: name, CsvJson: string(csv), Object: texts}
	steps, err := resolver.NewStepResourceFromBundle(bundle, namespace, "", "catalog", namespace)
	if err != nil {
		return nil, fmt.Errorf("planning the installation: %w", err)
	}
	var out []*unstructured.Unstructured
	for i := range steps {
		if steps[i].Kind == v1alpha1.ClusterServiceVersionKind {
			continue
		}
		object := &unstructured.Unstructured{}
		if err := json.Unmarshal([]byte(steps[i].Manifest), &object.Object); err != nil {
			return nil, fmt.Errorf("reading a step of the installation: %w", err)
		}
		// The manifests of roles and service accounts contain no kind, so set it here.
		object.SetGroupVersionKind(schema.GroupVersionKind{Group: steps[i].Group, Version: steps[i].Version, Kind: steps[i].Kind})
		out = append(out, object)
	}
	deployments, err := deploymentsOf(bundle, namespace)
	if err != nil {
		return nil, err
	}
	out = append(out, deployments...)
	for _, object := range out {
		object.SetOwnerReferences(nil)
		if isNamespaced(object.GetKind()) {
			object.SetNamespace(namespace)
		}
	}
	return out, nil
}

// isNamespaced reports whether a kind is namespaced. It supports only the kinds in the bundle.
func isNamespaced(kind string) bool {
	switch kind {
	case "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition":
		return false
	}
	return true
}

// findFaults returns the errors that the validators find in a bundle.
func findFaults(directory string) error {
	bundle, err := manifests.GetBundleFromDir(filepath.Join(directory, "manifests"))
	if err != nil {
		return fmt.Errorf("reading bundle: %w", err)
	}
	var faults []error
	for _, result := range validate(bundle) {
		for _, fault := range result.Errors {
			faults = append(faults, fault)
		}
	}
	return errors.Join(faults...)
}

// deploymentsOf returns the Deployments that OLM creates for the install strategy of a bundle.
func deploymentsOf(bundle *api.Bundle, namespace string) ([]*unstructured.Unstructured, error) {
	csv, err := resolver.V1alpha1CSVFromBundle(bundle)
	if err != nil {
		return nil, fmt.Errorf("reading the ClusterServiceVersion: %w", err)
	}
	csv.SetNamespace(namespace)
	strategy, err := (&install.StrategyResolver{}).UnmarshalStrategy(csv.Spec.InstallStrategy)
	if err != nil {
		return nil, fmt.Errorf("reading the install strategy: %w", err)
	}
	recorded := &recorder{}
	installer := install.NewStrategyDeploymentInstaller(recorded, nil, csv, nil, nil, nil, nil)
	if err := installer.Install(strategy); err != nil {
		return nil, fmt.Errorf("running the install strategy: %w", err)
	}
	var out []*unstructured.Unstructured
	for _, deployment := range recorded.deployments {
		deployment.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind("Deployment"))
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(deployment)
		if err != nil {
			return nil, fmt.Errorf("converting a Deployment: %w", err)
		}
		out = append(out, &unstructured.Unstructured{Object: content})
	}
	return out, nil
}

// recorder is a client of an install strategy that records the Deployments instead of creating
// them. An install strategy without webhooks and API services calls no other methods.
type recorder struct {
	wrappers.InstallStrategyDeploymentInterface

	deployments []*appsv1.Deployment
}

func (r *recorder) CreateOrUpdateDeployment(deployment *appsv1.Deployment) (*appsv1.Deployment, error) {
	r.deployments = append(r.deployments, deployment)
	return deployment, nil
}

func (r *recorder) FindAnyDeploymentsMatchingLabels(labels.Selector) ([]*appsv1.Deployment, error) {
	return r.deployments, nil
}
