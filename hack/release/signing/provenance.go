package signing

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	provenance "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"
)

const (
	project       = "https://github.com/sluicenet/sluice"
	buildType     = project + "/blob/main/docs/releasing.md"
	builder       = project + "/tree/main/hack/release"
	predicateType = "https://slsa.dev/provenance/v1"
	payloadType   = "application/vnd.in-toto+json"
)

// Origin describes how a release was built.
type Origin struct {
	// Version and Repository are the arguments of the build.
	Version, Repository string
	// Commit is the commit of the sources.
	Commit string
	// Go is the version of the Go toolchain.
	Go string
}

// Attest returns a signed envelope with the SLSA provenance of the artefacts. The map `artefacts`
// contains the SHA-256 digest of each artefact. The keys are the names of the artefacts.
func Attest(ctx context.Context, key *Key, o Origin, artefacts map[string]string) ([]byte, error) {
	statement, err := statementOf(o, artefacts)
	if err != nil {
		return nil, fmt.Errorf("describing the provenance: %w", err)
	}
	payload, err := compact(protojson.Marshal(statement))
	if err != nil {
		return nil, fmt.Errorf("encoding the provenance: %w", err)
	}
	signer, err := dsse.NewEnvelopeSigner(key)
	if err != nil {
		return nil, fmt.Errorf("signing the provenance: %w", err)
	}
	envelope, err := signer.SignPayload(ctx, payloadType, payload)
	if err != nil {
		return nil, fmt.Errorf("signing the provenance: %w", err)
	}
	text, err := json.MarshalIndent(envelope, "", "  ")
	return append(text, '\n'), err
}

func statementOf(o Origin, artefacts map[string]string) (*intoto.Statement, error) {
	parameters, err := structpb.NewStruct(map[string]any{"version": o.Version, "repository": o.Repository})
	if err != nil {
		return nil, err
	}
	predicate := &provenance.Provenance{
		BuildDefinition: &provenance.BuildDefinition{
			BuildType: buildType, ExternalParameters: parameters,
			ResolvedDependencies: []*intoto.ResourceDescriptor{
				{Uri: "git+" + project, Digest: map[string]string{"gitCommit": o.Commit}},
				{Uri: "https://go.dev/dl/#" + o.Go, Name: o.Go},
			},
		},
		RunDetails: &provenance.RunDetails{Builder: &provenance.Builder{Id: builder}},
	}
	if err := predicate.Validate(); err != nil {
		return nil, err
	}
	text, err := protojson.Marshal(predicate)
	if err != nil {
		return nil, err
	}
	fields := &structpb.Struct{}
	if err := protojson.Unmarshal(text, fields); err != nil {
		return nil, err
	}
	statement := &intoto.Statement{Type: intoto.StatementTypeUri, PredicateType: predicateType, Predicate: fields}
	for _, name := range slices.Sorted(maps.Keys(artefacts)) {
		statement.Subject = append(statement.Subject, &intoto.ResourceDescriptor{
			Name: name, Digest: map[string]string{"sha256": artefacts[name]},
		})
	}
	return statement, statement.Validate()
}

// compact removes the spaces that protojson inserts at random.
func compact(text []byte, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := json.Compact(&out, text); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// Verify checks the signature of an envelope, and returns the provenance and the artefacts in it.
// The results have the same form as the parameters of Attest.
func Verify(ctx context.Context, key *Key, text []byte) (*Origin, map[string]string, error) {
	var envelope dsse.Envelope
	if err := json.Unmarshal(text, &envelope); err != nil {
		return nil, nil, fmt.Errorf("reading the envelope: %w", err)
	}
	verifier, err := dsse.NewEnvelopeVerifier(key)
	if err != nil {
		return nil, nil, fmt.Errorf("verifying the envelope: %w", err)
	}
	if _, err := verifier.Verify(ctx, &envelope); err != nil {
		return nil, nil, fmt.Errorf("verifying the envelope: %w", err)
	}
	payload, err := envelope.DecodeB64Payload()
	if err != nil {
		return nil, nil, fmt.Errorf("reading the envelope: %w", err)
	}
	statement := &intoto.Statement{}
	if err := protojson.Unmarshal(payload, statement); err != nil {
		return nil, nil, fmt.Errorf("reading the statement: %w", err)
	}
	if err := statement.Validate(); err != nil {
		return nil, nil, fmt.Errorf("checking the statement: %w", err)
	}
	if statement.GetPredicateType() != predicateType || envelope.PayloadType != payloadType {
		return nil, nil, errors.New("the envelope contains no provenance")
	}
	return read(statement)
}

func read(statement *intoto.Statement) (*Origin, map[string]string, error) {
	text, err := protojson.Marshal(statement.GetPredicate())
	if err != nil {
		return nil, nil, fmt.Errorf("reading the provenance: %w", err)
	}
	predicate := &provenance.Provenance{}
	if err := protojson.Unmarshal(text, predicate); err != nil {
		return nil, nil, fmt.Errorf("reading the provenance: %w", err)
	}
	if err := predicate.Validate(); err != nil {
		return nil, nil, fmt.Errorf("checking the provenance: %w", err)
	}
	parameters := predicate.GetBuildDefinition().GetExternalParameters().GetFields()
	origin := &Origin{Version: parameters["version"].GetStringValue(), Repository: parameters["repository"].GetStringValue()}
	for _, d := range predicate.GetBuildDefinition().GetResolvedDependencies() {
		if commit := d.GetDigest()["gitCommit"]; commit != "" {
			origin.Commit = commit
		} else {
			origin.Go = d.GetName()
		}
	}
	artefacts := map[string]string{}
	for _, subject := range statement.GetSubject() {
		artefacts[subject.GetName()] = subject.GetDigest()["sha256"]
	}
	return origin, artefacts, nil
}
