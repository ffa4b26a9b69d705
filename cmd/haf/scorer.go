package main

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"haf/eval"
	"haf/pref"
	"haf/reward"
	"haf/run"
)

// A scorer is one reward of a subject. It counts the samples that were cut to fit the model.
type scorer struct {
	of    string        // the reward's name
	file  run.ModelFile // what it is read from; nothing of an ensemble
	read  func(ctx context.Context, samples []pref.Sample) (rewards []float64, cut []bool, err error)
	limit string // what is said of a sample that was cut
	// refuses tells of a prompt that cannot be read; nil where that is not known beforehand.
	refuses func(prompt []pref.Message) error

	mu        sync.Mutex
	seen, cut int
	first     int // number of the first that was cut
}

// Refuses implements refuser.
func (s *scorer) Refuses(prompt []pref.Message) error {
	if s.refuses == nil {
		return nil
	}
	return s.refuses(prompt)
}

// Score implements [pref.Scorer].
func (s *scorer) Score(ctx context.Context, samples []pref.Sample) ([]float64, error) {
	rewards, _, err := s.Read(ctx, samples)
	return rewards, err
}

// Read is Score, and says which samples were cut.
func (s *scorer) Read(ctx context.Context, samples []pref.Sample) (rewards []float64, cut []bool, err error) {
	rewards, cut, err = s.read(ctx, samples)
	if err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cut == 0 {
		s.first = s.seen + slices.Index(cut, true) + 1
	}
	for _, c := range cut {
		s.seen++
		if c {
			s.cut++
		}
	}
	return rewards, cut, nil
}

// warn tells the user of samples that were scored with tokens cut off.
func (s *scorer) warn(a *app, named string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cut > 0 {
		fmt.Fprintf(a.stderr, "haf: warning: %s: of %d of %d samples (the first is number %d) %s: the reward is of what was left\n", named, s.cut, s.seen, s.first, s.limit)
	}
}

// An openScorer is a scorer with what it was opened from.
type openScorer struct {
	*scorer
	model subject
	name  string // what the model, or the ensemble, is called
}

// openScorer opens one reward ("": its own choice) of a model, a server or the ensemble of several.
func (a *app) openScorer(models []string, of ensembleFlags, rewardName string, opt reward.Options) (*openScorer, error) {
	model, err := of.open(a, models, opt)
	if err != nil {
		return nil, err
	}
	s, err := model.scorer(a, rewardName)
	if err != nil {
		model.Close()
		return nil, err
	}
	return &openScorer{s, model, of.name(models)}, nil
}

// close warns of what was cut, and frees the models.
func (s *openScorer) close(a *app) {
	s.warn(a, s.name)
	s.model.Close()
}

// scoreGroups scores every response of the groups: [group][response].
func scoreGroups(a *app, s *scorer, groups []pref.Group) ([][]float64, error) {
	report, end := a.bars("scoring by " + s.of)
	defer end()
	return eval.ScoreAll(a.ctx, groups, s, report)
}
