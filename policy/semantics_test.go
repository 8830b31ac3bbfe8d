package policy_test

import "testing"

// TestSemantics tests every row of docs/semantics.md that needs no network. The name of each
// subtest starts with the number of its row, for example: go test ./policy -run
// Semantics/S33.
func TestSemantics(t *testing.T) {
	for _, rows := range []map[string]row{isolationRows, peerRows, portRows, alwaysRows, invalidRows()} {
		for name, r := range rows {
			t.Run(name, r.play)
		}
	}
	for name, story := range stories {
		t.Run(name, story)
	}
}

// stories contains the tests of rows for which the cluster must change during the test. Each
// key starts with the number of the row.
var stories = map[string]func(*testing.T){
	"S08 the current labels count":                   theCurrentLabelsCount,
	"S08 earlier labels have no effect":              earlierLabelsHaveNoEffect,
	"S09 hostNetwork pods are part of their node":    hostNetworkPodsArePartOfTheirNode,
	"S10 finished pods match nothing":                finishedPodsMatchNothing,
	"S10 the running and newest pod has the address": theRunningAndNewestPodHasTheAddress,
	"S11 all addresses belong to the pod":            allAddressesBelongToThePod,
	"S27 namespaces that do not exist":               namespacesThatDoNotExist,
	"S33 ports of init containers":                   portsOfInitContainers,
	"S40 an unbound pod has no node":                 anUnboundPodHasNoNode,
	"S40 node addresses come and go":                 nodeAddressesComeAndGo,
	"S41 any of a pod's addresses":                   anyOfAPodsAddresses,
	"S53 an address that moves carries nothing over": anAddressThatMovesCarriesNothingOver,
	"S54 a pod is known by its sandbox":              aPodIsKnownByItsSandbox,
	"S54 only the sandbox of the pod counts":         onlyTheSandboxOfThePodCounts,
	"S54 an attachment with a pod IP":                anAttachmentWithAPodIPIsTheOneToThePodNetwork,
	"S54 a sandbox is replaced":                      aSandboxIsReplaced,
	"S54 an address is reused at once":               anAddressThatIsReusedAtOnce,
	"S54 an announced address":                       anAnnouncedAddress,
	"S54 an announcement takes no address":           anAnnouncementTakesNoAddress,
	"S56a isolation ends with the sandbox":           isolationEndsWithTheSandbox,
	"S56a isolation ends with the route":             isolationEndsWithTheRoute,
	"S56a a lingering pod has the last claim":        aLingeringPodHasTheLastClaim,
	"S56a a lingering pod is a peer":                 aLingeringPodIsAPeer,
	"S56a deleted namespaces open no pod":            deletedNamespacesOpenNoPod,
	"S56a a deleted policy has no effect":            aDeletedPolicyHasNoEffect,
	"S60 errors are reported once":                   errorsAreReportedOnce,
}
