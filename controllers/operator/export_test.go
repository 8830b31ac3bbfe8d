package operator

// Parts for the tests, which are outside of the package.
var (
	AddPolicyStatus = addPolicyStatus
	CachedObjects   = cachedObjects
	EnforcerStatus  = enforcerStatus
)

// Cluster is what an Enforcer's status is made of.
type Cluster = cluster
