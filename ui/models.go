package ui

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"haf/pref"
	"haf/reward"
	"haf/run"
)

// An Explainer gives the rewards of responses and the parts of their tokens. A [reward.Reader] is
// one.
type Explainer interface {
	Explain(ctx context.Context, samples []pref.Sample) ([]reward.Explanation, error)
	Close() error
}

// A models opens the models that pages ask for, and keeps the last ones open.
type models struct {
	open func(ctx context.Context, path string) (Explainer, error)

	mu   sync.Mutex // one model is opened or read at a time, because each takes the whole device
	held []heldModel
}

type heldModel struct {
	path string
	Explainer
}

// mostModels is how many models are open at once.
const mostModels = 3

// explain reads samples with the model at path.
func (m *models) explain(
	ctx context.Context, path string, samples []pref.Sample,
) ([]reward.Explanation, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.IndexFunc(m.held, func(h heldModel) bool { return h.path == path })
	if i < 0 {
		opened, err := m.open(ctx, path)
		if err != nil {
			return nil, err
		}
		if len(m.held) == mostModels {
			if err := m.held[0].Close(); err != nil {
				return nil, err
			}
			m.held = slices.Delete(m.held, 0, 1)
		}
		m.held = append(m.held, heldModel{path, opened})
		i = len(m.held) - 1
	}
	return m.held[i].Explain(ctx, samples)
}

// close frees the models.
func (m *models) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, h := range m.held {
		_ = h.Close() // the program ends
	}
	m.held = nil
}

// A namedModel is a model that pages can choose.
type namedModel struct{ Name, Path string }

// models lists the models that were named and those of the finished runs.
func (a *App) modelList() (list []namedModel) {
	for _, path := range a.config.Models {
		list = append(list, namedModel{path, path})
	}
	found, _ := findRuns(a.config.Runs)
	for _, f := range found {
		if run.Finished(f.Dir) {
			list = append(list, namedModel{f.Name, f.Dir})
		}
	}
	return list
}

// An explained is what one model says of some responses.
type explained struct {
	Model     string
	Error     string
	Of        []reward.Explanation
	Names     []string // of the rewards
	Largest   float64  // size of the largest part of a token
	Took      time.Duration
	Responses []string
}

// A gap is how much higher a reward of the first response is.
type gap struct {
	Name  string
	Value float64
}

// Differences are those of two responses.
func (e explained) Differences() (gaps []gap) {
	if len(e.Of) != 2 {
		return nil
	}
	for _, name := range e.Names {
		gaps = append(gaps, gap{name, e.Of[0].Rewards[name] - e.Of[1].Rewards[name]})
	}
	return gaps
}

// Down is the other end of the scale.
func (e explained) Down() float64 { return -e.Largest }

// explain reads responses with the named models. A model that fails has its error.
func (a *App) explain(ctx context.Context, names []string, samples []pref.Sample) []explained {
	list := a.modelList()
	var out []explained
	largest := 0.0
	for k, name := range names {
		e := explained{Model: name}
		if k == mostModels {
			e.Error = fmt.Sprintf("At most %d models are read at once. Mark fewer to see this one.", k)
			out = append(out, e)
			break
		}
		for _, s := range samples {
			e.Responses = append(e.Responses, s.Response)
		}
		i := slices.IndexFunc(list, func(m namedModel) bool { return m.Name == name })
		if i < 0 {
			e.Error = fmt.Sprintf("there is no model %q", name)
			out = append(out, e)
			continue
		}
		began := time.Now()
		of, err := a.models.explain(ctx, list[i].Path, samples)
		if e.Took = time.Since(began); err != nil {
			e.Error = a.said(err)
		}
		e.Of = of
		for _, x := range of {
			for _, usual := range []string{reward.ByScore, reward.ByImplicit, reward.ByNormalized,
				reward.ByCombined} {
				if _, ok := x.Rewards[usual]; ok && !slices.Contains(e.Names, usual) {
					e.Names = append(e.Names, usual)
				}
			}
			for _, t := range x.Tokens {
				largest = max(largest, t.Reward, -t.Reward)
			}
		}
		out = append(out, e)
	}
	for i := range out {
		out[i].Largest = largest // one scale, so that maps compare
	}
	return out
}
