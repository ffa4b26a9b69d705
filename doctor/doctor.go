// Package doctor looks for what is wrong with a run, a model or preference data: numbers that
// cannot be right, files that have changed, and results that say less than they seem to.
//
// Each check is a function over data already read. run.go, model.go and data.go have the checks of
// the three kinds.
package doctor

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"haf/run"
	"haf/weights"
)

// A Severity is the severity of a finding.
type Severity string

// A Problem makes results wrong or impossible; a Warning makes them doubtful.
const (
	Problem Severity = "problem"
	Warning Severity = "warning"
)

// A Finding is one fault found by a check.
type Finding struct {
	Check    string   `json:"check"` // its name, as in docs/reference/doctor.md
	Severity Severity `json:"severity"`
	What     string   `json:"what"`   // observation
	Advice   string   `json:"advice"` // next step
}

// A Report lists the checks made and their findings.
type Report struct {
	Path     string    `json:"path"`
	Kind     Kind      `json:"kind"`
	Checks   []string  `json:"checks"`
	Findings []Finding `json:"findings"`
}

// Kind is the kind of thing at a path.
type Kind string

// The kinds that haf can examine.
const (
	KindRun   Kind = "run"
	KindModel Kind = "model"
	KindData  Kind = "data"
)

// KindOf returns the kind of a path: a folder with a manifest is a run, one with a model's
// configuration a model, and anything else preference data.
func KindOf(path string) (Kind, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("doctor: %w", err)
	}
	if weights.IsGGUF(path) {
		return KindModel, nil
	}
	if !info.IsDir() {
		return KindData, nil
	}
	if run.Exists(path) {
		return KindRun, nil
	}
	for _, name := range []string{"config.json", "adapter_config.json"} {
		if _, err := os.Stat(filepath.Join(path, name)); err == nil {
			return KindModel, nil
		}
	}
	return KindData, nil
}

// checked records a check and its findings.
func (r *Report) checked(check string, found ...Finding) {
	r.Checks = append(r.Checks, check)
	for _, f := range found {
		f.Check = check
		r.Findings = append(r.Findings, f)
	}
}

// problem and warning make findings.
func problem(advice, format string, args ...any) Finding {
	return Finding{Severity: Problem, What: fmt.Sprintf(format, args...), Advice: advice}
}

func warning(advice, format string, args ...any) Finding {
	return Finding{Severity: Warning, What: fmt.Sprintf(format, args...), Advice: advice}
}

// Problems is the number of findings that are problems.
func (r *Report) Problems() int {
	n := 0
	for _, f := range r.Findings {
		if f.Severity == Problem {
			n++
		}
	}
	return n
}

// Write prints the report as text.
func (r *Report) Write(w io.Writer) error {
	for _, f := range r.Findings {
		_, err := fmt.Fprintf(w, "%s: %s: %s\n    %s\n", f.Severity, f.Check, f.What, f.Advice)
		if err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "%s (%s): %d checks, %d problems, %d warnings\n", r.Path, r.Kind,
		len(r.Checks), r.Problems(), len(r.Findings)-r.Problems())
	return err
}
