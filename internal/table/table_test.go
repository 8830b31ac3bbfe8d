package table

import (
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	var out strings.Builder
	table := New("node", "pods", "message").Right(1)
	table.Row("n1", "12", "").Row().Row("größer", "3", Cell("")).Row("n2")
	if err := table.Write(&out, "> "); err != nil {
		t.Fatal(err)
	}
	want := `> NODE    PODS  MESSAGE
> n1        12
>
> größer     3  .
> n2
`
	if got := out.String(); got != want {
		t.Errorf("table:\n%s\nwant:\n%s", got, want)
	}
	if got, want := table.Width(), len("größer  PODS  MESSAGE")-2; got != want {
		t.Errorf("width %d, want %d", got, want)
	}
}

func TestDense(t *testing.T) {
	var out strings.Builder
	table := new(Table).Dense().Right(0, 1)
	table.Row("1", "web", "+").Row("10", "a", "-")
	if err := table.Write(&out, ""); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), " 1 web +\n10   a -\n"; got != want || table.Width() != 8 {
		t.Errorf("table %q of width %d, want %q", got, table.Width(), want)
	}
}
