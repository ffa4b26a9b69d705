package ui

import (
	"encoding/json"
	"net/http"
	"strconv"

	"haf/run"
)

// pointsOfRun is the number of steps of a run that a plot shows.
const pointsOfRun = 1000

// A series is the data that a script plots for one run.
type series struct {
	Name    string                `json:"name"`
	State   state                 `json:"state"`
	Steps   int                   `json:"steps"` // number of recorded steps
	Every   int                   `json:"every"` // one of every so many steps is included
	X       []int                 `json:"x"`
	Columns map[string][]*float64 `json:"columns"`
	Evals   map[string]*evalCurve `json:"evals"`
	Damaged []string              `json:"damaged,omitempty"` // descriptions of unreadable lines
}

// An evalCurve is the accuracy, or the reward, of validations with its interval.
type evalCurve struct {
	X         []int     `json:"x"`
	Y         []float64 `json:"y"`
	Low, High []float64
}

// MarshalJSON writes the keys in lower case, like the other keys.
func (c evalCurve) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{"x": c.X, "y": c.Y, "low": c.Low, "high": c.High})
}

func (c *evalCurve) add(step int, y, low, high float64) {
	c.X, c.Y = append(c.X, step), append(c.Y, y)
	c.Low, c.High = append(c.Low, low), append(c.High, high)
}

// series answers with the sampled steps of runs. Parameters: run, repeatable; from and to, steps.
func (a *App) series(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	folders, err := a.find(query["run"])
	if err != nil {
		a.failed(w, r, err)
		return
	}
	from, _ := strconv.Atoi(query.Get("from")) // text that is no number means the beginning
	to, _ := strconv.Atoi(query.Get("to"))
	out := struct {
		Charts []chart  `json:"charts"`
		Runs   []series `json:"runs"`
	}{}
	for _, f := range folders {
		m, err := a.metrics(f.Dir)
		if err != nil {
			a.failed(w, r, err)
			return
		}
		s, err := m.series(f, from, to)
		if err != nil {
			a.failed(w, r, err)
			return
		}
		if out.Charts == nil {
			out.Charts = chartsOf(m.verb)
		}
		out.Runs = append(out.Runs, s)
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(out); err != nil {
		a.config.Log.Debug("a visitor left", "error", err)
	}
}

func (m *metricsFile) series(f folder, from, to int) (series, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := series{Name: f.Name, State: stateOf(f.Dir), Steps: len(m.steps), X: []int{},
		Columns: map[string][]*float64{}, Evals: map[string]*evalCurve{}}
	points, every, err := m.sample(from, to, pointsOfRun)
	if err != nil {
		return s, err
	}
	s.Every, s.Damaged = every, m.problems()
	for _, c := range chartsOf(m.verb) {
		for _, of := range c.Columns {
			column, known := make([]*float64, len(points)), false
			for i, p := range points {
				if v, ok := p.values[of.Key]; ok {
					column[i], known = &v, true
				}
			}
			if known {
				s.Columns[of.Key] = column
			}
		}
	}
	for _, p := range points {
		s.X = append(s.X, p.step)
	}
	s.addEvals(m.records)
	return s, nil
}

func (s *series) addEvals(records run.Records) {
	curve := func(name string) *evalCurve {
		if s.Evals[name] == nil {
			s.Evals[name] = &evalCurve{}
		}
		return s.Evals[name]
	}
	for _, v := range records.Validations {
		for name, r := range v.Rewards {
			curve(name).add(v.Step, r.Accuracy, r.AccuracyLow, r.AccuracyHigh)
		}
		if len(v.Rewards) == 0 {
			for name, r := range v.Labels {
				curve(name).add(v.Step, r.Accuracy, r.AccuracyLow, r.AccuracyHigh)
			}
		}
	}
	for _, e := range records.PolicyEvals {
		curve("reward").add(e.Step, e.Reward, e.Low, e.High)
	}
}
