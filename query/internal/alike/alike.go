// Package alike groups the ends of a matrix that have the same verdicts.
package alike

import "bytes"

// Classes groups the indexes of a square matrix into classes. Two indexes a and b are in the same
// class if the rows and the columns of a and b are equal except in the cells of a and b themselves,
// and if the cells (a, b) and (b, a) are equal. All cells between different indexes of a class are
// therefore equal. For example, in the following matrix, the first two indexes form a class:
//
//	.+-
//	+.-
//	--.
//
// Both the classes and the indexes in each class are in ascending order.
func Classes(rows [][]byte) [][]int {
	columns := transpose(rows)
	var classes [][]int
next:
	for i := range rows {
		for k, class := range classes {
			if first := class[0]; equal(rows, first, i) && equal(columns, first, i) && rows[first][i] == rows[i][first] {
				classes[k] = append(class, i)
				continue next
			}
		}
		classes = append(classes, []int{i})
	}
	return classes
}

// equal reports whether two lines are equal except at the indexes of the two lines. The `a`
// parameter must be less than the `b` parameter.
func equal(lines [][]byte, a, b int) bool {
	x, y := lines[a], lines[b]
	return bytes.Equal(x[:a], y[:a]) && bytes.Equal(x[a+1:b], y[a+1:b]) && bytes.Equal(x[b+1:], y[b+1:])
}

func transpose(rows [][]byte) [][]byte {
	columns := make([][]byte, len(rows))
	for i := range columns {
		columns[i] = make([]byte, len(rows))
		for j := range rows {
			columns[i][j] = rows[j][i]
		}
	}
	return columns
}
