// Package label contains sets of labels and selectors that match them. Both are immutable
// values that can be compared with ==. Equal values share memory, because many pods and
// policies of a cluster have the same labels and selectors.
package label
