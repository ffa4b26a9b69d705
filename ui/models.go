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

// An Explainer computes the rewards of responses and the contributions of their tokens. A
// [reward.Reader] is one.
type Explainer interface {
	Explain(ctx context.Context, samples []pref.Sample) ([]reward.Explanation, error)
	Close() error
}

// A models opens models on demand and keeps the latest open.
type models struct {
	open func(ctx context.Context, path string) (Explainer, error)

	mu   sync.Mutex // open or read one model at a time, because each uses the whole device
	held []heldModel
}

type heldModel struct {
	path string
	Explainer
}

// mostModels is the largest number of open models.
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

// A namedModel is a model that pages offer.
type namedModel struct{ Name, Path string }

// modelList lists the named models and those of finished runs.
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

// An explained is the result of one model for some responses.
type explained struct {
	Model     string
	Error     string
	Of        []reward.Explanation
	Names     []string // names of the rewards
	Largest   float64  // largest absolute contribution of a token
	Took      time.Duration
	Responses []string
}

// A gap is the difference of a reward between the first response and the second.
type gap struct {
	Name  string
	Value float64
}

// Differences returns the gaps between two responses.
func (e explained) Differences() (gaps []gap) {
	if len(e.Of) != 2 {
		return nil
	}
	for _, name := range e.Names {
		gaps = append(gaps, gap{name, e.Of[0].Rewards[name] - e.Of[1].Rewards[name]})
	}
	return gaps
}

// Down is the lower end of the scale.
func (e explained) Down() float64 { return -e.Largest }

// explain reads responses with the named models. A model that fails has Error set.
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
		out[i].Largest = largest // the same scale, so that maps are comparable
	}
	return out
}
