package manifest

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	kjson "sigs.k8s.io/json"

	"github.com/sluicenet/sluice/policy"
)

// decode decodes the JSON value `raw` into a variable. The parameter `into` is a pointer to
// this variable. If the value does not fit the type of the variable, decode reports an error
// for each difference and returns false. A duplicate field is always an error. If strict is
// true, a field that the type does not define is an error too.
func (d *decoder) decode(raw []byte, root path, name string, into any, strict bool) bool {
	options := []kjson.StrictOption{kjson.DisallowDuplicateFields}
	if strict {
		options = append(options, kjson.DisallowUnknownFields)
	}
	strictErrs, err := kjson.UnmarshalStrict(raw, into, options...)
	if err == nil && len(strictErrs) == 0 {
		return true
	}
	if err != nil || strict {
		d.explain(raw, root, name, reflect.TypeOf(into).Elem(), strict, err)
	}
	d.duplicates(root, name, strictErrs)
	return false
}

// duplicates reports an error for each field that occurs twice.
func (d *decoder) duplicates(root path, name string, strictErrs []error) {
	for _, err := range strictErrs {
		var fieldError kjson.FieldError
		if !strings.HasPrefix(err.Error(), "duplicate") || !errors.As(err, &fieldError) {
			continue
		}
		field := parsePath(fieldError.FieldPath())
		d.fail(d.lineOf(root, field), name, field.String(), "the field is given twice; keep one")
	}
}

// explain reports an error for each field of the JSON value `raw` that does not fit the type t.
// If there is no such field, explain reports err, which is the error of the JSON decoder.
func (d *decoder) explain(raw []byte, root path, name string, t reflect.Type, strict bool, err error) {
	before := len(d.out.errs)
	c := checker{strict: strict, report: func(at path, message string) {
		d.fail(d.lineOf(root, at), name, at.String(), message)
	}}
	c.check(raw, t)
	if len(d.out.errs) == before && err != nil {
		d.fail(d.lineOf(root, nil), name, "", err.Error())
	}
}

// valid reports the errors that package policy found in an object, and adds a line number to
// each error. It returns true if there are no errors.
func (d *decoder) valid(root path, name string, errs []policy.FieldError) bool {
	for _, e := range errs {
		d.fail(d.lineOf(root, parsePath(e.Field)), name, e.Field, e.Message)
	}
	return len(errs) == 0
}

// The method `named` reports an error if the name or the namespace of an object is invalid. It
// returns true if both are valid.
func (d *decoder) named(root path, object, kind, name, namespace string) bool {
	before := len(d.out.errs)
	field := path{}.key("metadata")
	switch reasons := validation.IsDNS1123Subdomain(name); {
	case name == "":
		d.fail(d.lineOf(root, field), object, "metadata.name", "missing; give the "+kind+" a name")
	case len(reasons) > 0:
		d.fail(d.lineOf(root, field.key("name")), object, "metadata.name", fmt.Sprintf("%q is not a valid name: %s", name, reasons[0]))
	}
	if namespace == "" {
		return len(d.out.errs) == before
	}
	if reasons := validation.IsDNS1123Label(namespace); len(reasons) > 0 {
		d.fail(d.lineOf(root, field.key("namespace")), object, "metadata.namespace", fmt.Sprintf("%q is not a valid namespace: %s", namespace, reasons[0]))
	}
	return len(d.out.errs) == before
}
