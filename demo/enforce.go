package demo

import (
	"context"
	"fmt"
	"time"
)

// change lets every change happen and looks again.
func (s *show) change(ctx context.Context) error {
	before := s.report.Rounds[0].cells
	if len(s.Changes) == 0 {
		s.Changes = changesFor(s.stage.snapshot, before)
	}
	if len(s.Changes) == 0 {
		return nil
	}
	if !s.Steps {
		s.page.heading("When policies change, the dataplane runs on")
	}
	for _, c := range s.Changes {
		s.page.line("  $ %s", s.page.paint(bold, c.Command))
		c.Apply(s.stage.snapshot)
		round, err := s.changed(ctx, c.Command, before)
		if err != nil {
			return err
		}
		s.report.Rounds = append(s.report.Rounds, round)
		if !s.Steps {
			s.page.differences(differences(before, round.cells), s.Ports)
			s.page.held(round)
		}
		before = round.cells
	}
	return nil
}

// changed puts a change in force under open connections and tries everything.
func (s *show) changed(ctx context.Context, command string, before []*Cell) (*Round, error) {
	held, err := s.hold(ctx, before)
	if err != nil {
		return nil, err
	}
	defer release(held)
	return s.enforceUnder(ctx, command, held)
}

func (s *show) enforceUnder(ctx context.Context, command string, held []*Held) (*Round, error) {
	for _, h := range held {
		h.stream.forgetPauses()
	}
	published := time.Now()
	generation, enforced, err := s.enforce(ctx, published)
	if err != nil {
		return nil, err
	}
	if err := watch(ctx, held); err != nil {
		return nil, err
	}
	round, err := s.round(ctx, command)
	if err != nil {
		return nil, err
	}
	if err := settle(ctx, held, published, enforced); err != nil {
		return nil, err
	}
	round.Generation, round.Enforced = generation, enforced.Nanoseconds()
	round.hold(held)
	return round, nil
}

// enforce publishes what was built and waits until the dataplane enforces it.
func (s *show) enforce(ctx context.Context, published time.Time) (generation uint64, took time.Duration, err error) {
	err = s.page.step("publishing the change", func(func(string)) (string, error) {
		var err error
		if generation, err = s.trees.Publish(s.builder); err != nil {
			return "", err
		}
		if _, err := s.plane.enforces(ctx, generation); err != nil {
			return "", err
		}
		took = time.Since(published)
		return fmt.Sprintf("published as generation %d; the dataplane enforces it", generation), nil
	})
	return generation, took, err
}
