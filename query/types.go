package query

// APIVersion is the apiVersion of the JSON form of every answer.
const APIVersion = "query.sluice.dev/v1alpha1"

// TypeMeta contains the apiVersion and the kind in the JSON form of an answer.
type TypeMeta struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
}

// NewTypeMeta returns the TypeMeta of an answer of the given kind.
func NewTypeMeta(kind string) TypeMeta {
	return TypeMeta{APIVersion: APIVersion, Kind: kind}
}
