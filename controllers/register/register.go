// Package register adds controllers to a manager.
package register

import (
	"fmt"

	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// Controller adds a controller to a manager. The sources queue the requests for its reconciler.
func Controller(mgr manager.Manager, name string, options controller.Options, sources []source.Source) error {
	// Tests run several operators in one process, so the name of a controller is not unique.
	options.SkipNameValidation = ptr.To(true)
	c, err := controller.New(name, mgr, options)
	if err != nil {
		return fmt.Errorf("preparing the controller %s: %w", name, err)
	}
	for _, s := range sources {
		if err := c.Watch(s); err != nil {
			return fmt.Errorf("preparing the watches of the controller %s: %w", name, err)
		}
	}
	return nil
}
