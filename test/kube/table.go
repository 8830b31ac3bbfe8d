package kube

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"text/tabwriter"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
)

// tableType is the media type that kubectl requests in order to get objects as a table.
const tableType = "application/json;as=Table;g=meta.k8s.io;v=v1"

// Get returns the output of `kubectl get` for a resource, such as "nodeenforcers". If the
// `namespace` parameter is empty, the output lists cluster-scoped objects. Otherwise it lists the
// objects in the namespace. If names are given, the output contains only the objects with these
// names. If `wide` is true, Get returns the output of `kubectl get -o wide`. The output contains
// "AGE" in place of each age, because ages depend on the time at which the test runs.
func (s *Server) Get(t testing.TB, resource schema.GroupVersionResource, namespace string, wide bool, names ...string) string {
	t.Helper()
	group := resource.GroupVersion()
	config := s.Config()
	config.GroupVersion = &group
	config.APIPath = "/apis"
	config.NegotiatedSerializer = serializer.NewCodecFactory(Scheme()).WithoutConversion()
	c, err := rest.RESTClientFor(config)
	if err != nil {
		t.Fatalf("creating a client: %v", err)
	}
	table := &metav1.Table{}
	err = c.Get().NamespaceIfScoped(namespace, namespace != "").Resource(resource.Resource).
		SetHeader("Accept", tableType).Do(t.Context()).Into(table)
	if err != nil {
		t.Fatalf("getting %s as a table: %v", resource.Resource, err)
	}
	return format(table, wide, names)
}

func format(table *metav1.Table, wide bool, names []string) string {
	wanted := make(map[any]bool)
	for _, name := range names {
		wanted[name] = true
	}
	var out bytes.Buffer
	// These parameters produce the same padding as kubectl.
	writer := tabwriter.NewWriter(&out, 6, 4, 3, ' ', 0)
	line := func(cell func(i int) any) {
		var cells []string
		for i, column := range table.ColumnDefinitions {
			if column.Priority > 0 && !wide {
				continue
			}
			value := cell(i)
			if value == nil {
				value = ""
			}
			cells = append(cells, fmt.Sprint(value))
		}
		fmt.Fprintln(writer, strings.Join(cells, "\t"))
	}
	line(func(i int) any { return strings.ToUpper(table.ColumnDefinitions[i].Name) })
	for _, row := range table.Rows {
		if len(names) > 0 && !wanted[row.Cells[0]] {
			continue
		}
		line(func(i int) any {
			if table.ColumnDefinitions[i].Name == "Age" {
				return "AGE"
			}
			return row.Cells[i]
		})
	}
	writer.Flush()
	var trimmed strings.Builder
	for text := range strings.Lines(out.String()) {
		trimmed.WriteString(strings.TrimRight(text, " \n"))
		trimmed.WriteByte('\n')
	}
	return trimmed.String()
}
