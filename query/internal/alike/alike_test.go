package alike

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestClasses(t *testing.T) {
	for name, test := range map[string]struct {
		rows []string
		want [][]int
	}{
		"none":                {nil, nil},
		"one":                 {[]string{"."}, [][]int{{0}}},
		"two of three":        {[]string{".+-", "+.-", "--."}, [][]int{{0, 1}, {2}}},
		"all":                 {[]string{".--", "-.-", "--."}, [][]int{{0, 1, 2}}},
		"rows differ":         {[]string{".--", "-.+", "--."}, [][]int{{0}, {1}, {2}}},
		"columns differ":      {[]string{".--", "-.-", "-+."}, [][]int{{0}, {1}, {2}}},
		"one way between":     {[]string{".+", "-."}, [][]int{{0}, {1}}},
		"not neighbors":       {[]string{".-+", "+.+", "+-."}, [][]int{{0, 2}, {1}}},
		"between two of them": {[]string{".++-", "+.+-", "++.-", "---."}, [][]int{{0, 1, 2}, {3}}},
	} {
		t.Run(name, func(t *testing.T) {
			var rows [][]byte
			for _, row := range test.rows {
				rows = append(rows, []byte(row))
			}
			if diff := cmp.Diff(test.want, Classes(rows)); diff != "" {
				t.Errorf("classes (-want +got):\n%s", diff)
			}
		})
	}
}

// TestClassesDescribeTheMatrix checks with random matrices that the class of the row and the class
// of the column determine each cell outside the diagonal.
func TestClassesDescribeTheMatrix(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		n := 1 + random.IntN(7)
		rows := make([][]byte, n)
		for i := range rows {
			for j := range n {
				cell := "+-"[random.IntN(2)]
				if i == j {
					cell = '.'
				}
				rows[i] = append(rows[i], cell)
			}
		}
		class := make([]int, n)
		for k, members := range Classes(rows) {
			for _, i := range members {
				class[i] = k
			}
		}
		seen := map[[2]int]byte{}
		for i := range rows {
			for j, cell := range rows[i] {
				key := [2]int{class[i], class[j]}
				if before, ok := seen[key]; ok && before != cell && i != j {
					t.Fatalf("classes %v of %q", class, rows)
				}
				if i != j {
					seen[key] = cell
				}
			}
		}
	}
}
