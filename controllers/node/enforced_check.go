package node

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
)

// checkEnforced is the check /enforced of the health server. Its query contains resource
// versions by kind, for example /enforced?NetworkPolicy=1201&Pod=98811. The check succeeds if
// the node enforces a generation that contains, for each of these kinds, all changes up to the
// version. Resource versions are compared as decimal numbers.
func (a *agent) checkEnforced(request *http.Request) error {
	running := a.dataplane.status()
	if running == nil || running.Generation == 0 {
		return errors.New("the dataplane enforces no generation yet")
	}
	p, ok := a.publisher.publication(running.Generation)
	if !ok {
		return fmt.Errorf("generation %d was published by an earlier agent", running.Generation)
	}
	contains := a.state.atMostLast(p.contains)
	for name, values := range request.URL.Query() {
		want, err := strconv.ParseUint(values[0], 10, 64)
		if err != nil {
			return fmt.Errorf("%s: %q is not a resource version: write a decimal number", name, values[0])
		}
		if has := contains[kind(name)]; has < want {
			return fmt.Errorf("the node enforces %s objects up to resource version %d, want %d", name, has, want)
		}
	}
	return nil
}
