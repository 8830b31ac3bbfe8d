package query

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/sluicenet/sluice/query/internal/grid"
)

// TestLargestMatrix checks that the JSON form of a matrix of 1,000 pods is below 2 MB even if the
// policies treat no two pods alike, and if the names of all pods have the maximum length.
func TestLargestMatrix(t *testing.T) {
	const pods, limit = 1000, 2_000_000
	random := rand.New(rand.NewPCG(1, 2))
	ends := make([]matrixEnd, pods)
	cells := make([][]grid.Cell, pods)
	for i := range ends {
		name := fmt.Sprintf("%s/%0253d", strings.Repeat("n", 63), i)
		ends[i].End = grid.End{Name: name, Workload: name}
		for j := range pods {
			cell := []grid.Cell{grid.Allowed, grid.Denied}[random.IntN(2)]
			if i == j {
				cell = grid.NotEvaluated
			}
			cells[i] = append(cells[i], cell)
		}
	}
	m := &Matrix{TypeMeta: NewTypeMeta("Matrix"), Symbols: symbols()}
	m.classify(ends, cells)
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Classes) != pods || len(text) >= limit {
		t.Errorf("%d classes, %d bytes, want %d classes and less than %d bytes", len(m.Classes), len(text), pods, limit)
	}
}
