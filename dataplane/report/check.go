package report

// Check is the result of checking one requirement of Sluice.
type Check struct {
	// Name identifies the requirement. It does not change between releases.
	Name   string      `json:"name"`
	Result CheckResult `json:"result"`
	// Seen states what was observed.
	Seen string `json:"seen"`
	// Fix states what the user should do. It is empty if there is nothing to do.
	Fix string `json:"fix,omitempty"`
}

// CheckResult is the result of a Check.
type CheckResult string

// The results of a Check.
const (
	// CheckOK means that the requirement is met.
	CheckOK CheckResult = "ok"
	// CheckWarning means that the requirement is met only partly, or that another program
	// can prevent Sluice from enforcing policies as expected.
	CheckWarning CheckResult = "warning"
	// CheckFailed means that Sluice cannot work until the user has fixed the cause.
	CheckFailed CheckResult = "failed"
	// CheckSkipped means that the requirement could not be checked. Seen states why.
	CheckSkipped CheckResult = "skipped"
)
