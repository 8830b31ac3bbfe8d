// Package rbac has what the processes of Sluice may do at the API server, and
// the tests that prove what they may not.
//
// The roles are generated from the markers that stand where the code makes the
// calls. The dataplane has no role: it has no credentials.
package rbac

//go:generate go tool -modfile=../../hack/tools/go.mod controller-gen rbac:roleName=sluice-agent paths=../../controllers/node/... output:rbac:artifacts:config=agent
