package ui

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"haf/internal/message"
	"haf/reward"
	"haf/run"
)

//go:embed templates/*.html
var sources embed.FS

// functions are available in the templates.
var functions = template.FuncMap{
	"num":     func(x float64) string { return minus(fmt.Sprintf("%.4f", x)) },
	"signed":  func(x float64) string { return minus(fmt.Sprintf("%+.4f", x)) },
	"whole":   func(x float64) string { return fmt.Sprintf("%.0f", x) },
	"name":    reward.Printable,
	"visible": visible,
	"ago":     ago,
	"add":     func(a, b int) int { return a + b },
	"levels":  func() []int { return []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9} },
	"has":     func(list []string, s string) bool { return slices.Contains(list, s) },
	"at":      func(m map[string]float64, name string) (v float64) { return m[name] },
	"tone":    tone,
	"jsonOf": func(v any) (string, error) {
		text, err := json.Marshal(v)
		return string(text), err
	},
	"lines": func(text string) int { return min(14, 3+len(text)/60+strings.Count(text, "\n")) },
	"map": func(e explained, k int) map[string]any {
		return map[string]any{"E": e, "K": k, "X": e.Of[k]}
	},
}

var templates = template.Must(
	template.New("").Funcs(functions).ParseFS(sources, "templates/*.html"))

// minus writes a number with a typographic minus, which does not separate from its digits.
func minus(number string) string { return strings.Replace(number, "-", "−", 1) }

// visible escapes control and direction characters, so that no text is hidden. Line breaks and tabs
// stay.
func visible(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r == '\n' || r == '\t' || r == '\u200d' || r == unicode.ReplacementChar ||
			unicode.IsPrint(r) {
			b.WriteRune(r)
		} else if r != '\r' {
			fmt.Fprintf(&b, "⟨U+%04X⟩", r)
		}
	}
	return b.String()
}

// tones is the number of colours for a token on each side of zero.
const tones = 5

// tone returns the class of a token by its contribution x, relative to the largest.
func tone(x, largest float64) string {
	share := math.Abs(x) / largest
	if !(share >= 0.05) {
		return ""
	}
	side := "p"
	if x < 0 {
		side = "n"
	}
	return side + strconv.Itoa(min(int(share*tones), tones-1)+1)
}

func ago(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%.0f s ago", max(0, d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%.0f min ago", d.Minutes())
	case d < 48*time.Hour:
		return fmt.Sprintf("%.0f h ago", d.Hours())
	}
	return fmt.Sprintf("%.0f days ago", d.Hours()/24)
}

// A page is the input of the layout template.
type page struct {
	Title, Path string
	Guarded     bool // visitors need a token
	Body        any
}

// render writes a page, or an error page if its template fails.
func (a *App) render(w http.ResponseWriter, r *http.Request, name, title string, body any) {
	a.write(w, r, name, page{title, r.URL.Path, len(a.keys) > 0, body})
}

func (a *App) write(w http.ResponseWriter, r *http.Request, name string, data any) {
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, name, data); err != nil {
		a.config.Log.Error("a page failed", "page", name, "error", err)
		http.Error(w, "the page failed: see the log of haf ui", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if _, err := b.WriteTo(w); err != nil {
		a.config.Log.Debug("a visitor left", "path", r.URL.Path, "error", err)
	}
}

// said returns an error's message for visitors.
func (a *App) said(err error) string { return message.Of(err, a.config.Runs...) }

// fail writes an error as a page, or as JSON if a script asked.
func (a *App) fail(w http.ResponseWriter, r *http.Request, status int, err error) {
	if strings.HasPrefix(r.URL.Path, "/api/") {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": a.said(err)})
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	a.render(w, r, "error", http.StatusText(status), a.said(err))
}

// failed writes the error of a request for runs or files.
func (a *App) failed(w http.ResponseWriter, r *http.Request, err error) {
	status := http.StatusInternalServerError
	if errors.Is(err, errNoRun) {
		status = http.StatusNotFound
	}
	if errors.Is(err, errMany) {
		status = http.StatusBadRequest
	}
	a.fail(w, r, status, err)
}

// list is the page of all runs.
func (a *App) list(w http.ResponseWriter, r *http.Request) {
	cards, problems := a.cards()
	a.render(w, r, "list", "Runs", map[string]any{"Cards": cards, "Problems": problems,
		"Named": a.config.Runs, "Pairs": a.pairFiles()})
}

// A runView is a run on the page of one or several runs.
type runView struct {
	card
	Validations []run.Validation
	Settings    []string
}

// runs is the page of one run, or of several side by side.
func (a *App) runs(w http.ResponseWriter, r *http.Request) {
	names := r.URL.Query()["run"]
	folders, err := a.find(names)
	if err == nil && len(folders) == 0 {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	if err != nil {
		a.failed(w, r, err)
		return
	}
	var views []runView
	var manifests []*manifest
	for _, f := range folders {
		v := runView{card: a.card(f)}
		if v.Manifest == nil {
			a.failed(w, r, errors.New(v.Problem))
			return
		}
		if m, err := a.metrics(f.Dir); err == nil {
			m.mu.Lock()
			v.Validations = m.records.Validations
			m.mu.Unlock()
		}
		views, manifests = append(views, v), append(manifests, v.Manifest)
	}
	var files []resultFile
	for _, f := range folders {
		files = append(files, evalsOf(f)...)
	}
	rows, problems := evaluations(files, folders)
	title := reward.Printable(folders[0].Name)
	if len(folders) > 1 {
		title = fmt.Sprintf("%d runs compared", len(folders))
	}
	body := map[string]any{"Runs": views, "Names": names, "Settings": differences(manifests),
		"Evaluations": rows, "Problems": problems}
	if len(folders) == 1 {
		body["Files"] = a.pairFilesOf(folders[0])
	}
	a.render(w, r, "runs", title, body)
}

// A drawn has the figures of one reward in a file of pairs.
type drawn struct {
	Reward  string
	Figures []figure
}

// figures is the page with the drawings of a file of pairs. With fragment it is the drawings only.
// The page of a run loads them when the user scrolls there, because they need all pairs.
func (a *App) figures(w http.ResponseWriter, r *http.Request) {
	file, set, err := a.openPairs(r.URL.Query())
	if err != nil {
		a.failed(w, r, err)
		return
	}
	var list []drawn
	for _, name := range set.Rewards {
		list = append(list, drawn{name, set.figures(name)})
	}
	if r.URL.Query().Has("fragment") {
		a.write(w, r, "drawings", list)
		return
	}
	a.render(w, r, "figures", "Drawings", map[string]any{"File": file, "Drawn": list})
}

// evaluations is the page of all evaluations.
func (a *App) evaluations(w http.ResponseWriter, r *http.Request) {
	found := look(a.config.Runs)
	rows, problems := evaluations(found.evals, found.runs)
	problems = append(found.problems, problems...)
	trained := map[string]string{}
	for _, f := range found.runs {
		if m, err := run.ReadManifest[map[string]map[string]any](f.Dir, nil); err == nil {
			trained[f.Name] = trainedOn(m)
		}
	}
	var grids []heatMap
	for _, file := range found.grids {
		m, err := a.gridMap(file)
		if err != nil {
			problems = append(problems, fmt.Sprintf("%s: %v", file.Name, err))
			continue
		}
		grids = append(grids, m)
	}
	a.render(w, r, "evaluations", "Evaluations", map[string]any{"Rows": rows,
		"Heat": heat(rows, trained), "Grids": grids, "Problems": problems})
}

// trainedOn names the training data of a run.
func trainedOn(m *manifest) string {
	list, ok := m.Recipe["data"]["train"].([]any)
	if !ok {
		return "–"
	}
	var names []string
	for _, v := range list {
		path := fmt.Sprint(v)
		names = append(names, path[strings.LastIndexByte(path, '/')+1:])
	}
	return strings.Join(names, ", ")
}

// link returns the address of a page with parameters.
func link(path string, values url.Values) template.URL {
	return template.URL(path + "?" + values.Encode()) // Encode escapes the values
}
