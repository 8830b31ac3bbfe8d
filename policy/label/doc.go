// Package label contains sets of labels and selectors that match them. Both are immutable
// values that can be compared with == and that share memory if they are equal, because a
// cluster contains many pods and policies with the same ones.
package label
