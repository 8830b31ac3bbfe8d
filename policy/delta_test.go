package policy_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/compile"
	"github.com/sluicenet/sluice/test/cluster"
)

// A delta must not contain the same key twice. After every delta, all references must be
// valid. See rule.Delta.
func TestDeltasAreConsistent(t *testing.T) {
	histories := rapid.Custom(drawHistory)
	rapid.Check(t, func(t *rapid.T) {
		h := histories.Draw(t, "history")
		w := &clusterUnderTest{tester: t, snapshot: policy.NewSnapshot()}
		var followers []*follower
		for _, name := range cluster.NodeNames() {
			followers = append(followers, follow(w.snapshot, name))
		}
		for _, c := range h.start.Created() {
			w.apply(c)
		}
		for _, chapter := range h.chapters {
			for _, change := range chapter.changes {
				w.apply(change)
			}
			for _, f := range followers {
				if err := f.take(); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// follower contains the state that results from all deltas of a node.
type follower struct {
	compiler  *compile.Compiler
	addresses map[string]rule.Owner
	pods      map[rule.PodID]rule.Pod
	programs  map[rule.ProgramID]*rule.Program
}

func follow(s *policy.Snapshot, node string) *follower {
	return &follower{compile.New(s, node), map[string]rule.Owner{}, map[rule.PodID]rule.Pod{}, map[rule.ProgramID]*rule.Program{}}
}

func (f *follower) take() error {
	d := f.compiler.Delta()
	seen := map[string]bool{}
	once := func(key string) error {
		if seen[key] {
			return fmt.Errorf("%s is in one delta twice", key)
		}
		seen[key] = true
		return nil
	}
	for _, c := range d.Programs {
		if err := once(fmt.Sprint("program ", c.ID)); err != nil {
			return err
		}
		delete(f.programs, c.ID)
		if c.Program != nil {
			f.programs[c.ID] = c.Program
		}
	}
	for _, c := range d.Pods {
		if err := once(fmt.Sprint("pod ", c.ID)); err != nil {
			return err
		}
		delete(f.pods, c.ID)
		if c.Pod != nil {
			f.pods[c.ID] = *c.Pod
		}
	}
	for _, c := range d.Addresses {
		if err := once("address " + c.Addr.String()); err != nil {
			return err
		}
		delete(f.addresses, c.Addr.String())
		if c.Owner.Kind != rule.NoOwner {
			f.addresses[c.Addr.String()] = c.Owner
		}
	}
	for a, o := range f.addresses {
		if _, ok := f.pods[o.Pod]; o.Kind == rule.LocalPod && !ok {
			return fmt.Errorf("address %s: no pod %d", a, o.Pod)
		}
	}
	used := map[rule.ProgramID]bool{0: true}
	for id, p := range f.pods {
		for _, program := range p.Programs() {
			if f.programs[program] == nil && program != 0 {
				return fmt.Errorf("pod %d: no program %d", id, program)
			}
			used[program] = true
		}
	}
	for id := range f.programs {
		if !used[id] {
			return fmt.Errorf("no pod uses program %d", id)
		}
	}
	return nil
}
