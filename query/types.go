package query

import "github.com/sluicenet/sluice/query/question"

// APIVersion is the apiVersion of the JSON form of every answer.
const APIVersion = "query.sluice.dev/v1alpha1"

// InputError is an error in a question.
type InputError = question.InputError

// Target is the protocol and the destination port of the flows in a question.
type Target = question.Target

// TypeMeta contains the apiVersion and the kind in the JSON form of an answer.
type TypeMeta struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
}

// NewTypeMeta returns the TypeMeta of an answer of the given kind.
func NewTypeMeta(kind string) TypeMeta {
	return TypeMeta{APIVersion: APIVersion, Kind: kind}
}
