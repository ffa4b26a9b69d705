package ui

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"haf/eval"
	"haf/pref"
)

// A pairFile is a file of pairs that pages offer: in a run folder, or named separately.
type pairFile struct {
	Run, File, Path string
}

// Link is the address of the file's page.
func (f pairFile) Link() any { return link("/pairs", url.Values{"run": {f.Run}, "file": {f.File}}) }

// Figures is the address of the page with its drawings.
func (f pairFile) Figures() any {
	return link("/figures", url.Values{"run": {f.Run}, "file": {f.File}})
}

// pairFilesOf lists the files pairs*.jsonl of a run folder.
func (a *App) pairFilesOf(f folder) (files []pairFile) {
	for _, name := range filesOf(f.Dir, "pairs*.jsonl") {
		files = append(files, pairFile{f.Name, name, filepath.Join(f.Dir, name)})
	}
	return files
}

// pairFiles lists all files of pairs.
func (a *App) pairFiles() (files []pairFile) {
	for _, path := range a.config.Runs {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() &&
			filepath.Ext(path) != ".json" && !isGrid(path) {
			files = append(files, pairFile{"", filepath.ToSlash(path), path})
		}
	}
	found, _ := findRuns(a.config.Runs)
	for _, f := range found {
		files = append(files, a.pairFilesOf(f)...)
	}
	return files
}

// openPairs returns the set that a request names; it must be in the list.
func (a *App) openPairs(query url.Values) (pairFile, *pairSet, error) {
	for _, f := range a.pairFiles() {
		if f.Run == query.Get("run") && f.File == query.Get("file") {
			set, err := a.pairs(f.Path)
			return f, set, err
		}
	}
	return pairFile{}, nil, fmt.Errorf("%w with the file %q: %q", errNoRun, query.Get("file"),
		query.Get("run"))
}

// readQuery reads the query of a request.
func readQuery(values url.Values, set *pairSet) query {
	q := query{Text: values.Get("q"), Reward: values.Get("reward"), Source: values.Get("source"),
		Wrong: values.Has("wrong"), Close: values.Has("close"), Long: values.Has("long"),
		Disagree: values.Has("disagree"), Tied: values.Has("tied"), Sort: values.Get("sort")}
	if !slices.Contains(set.Rewards, q.Reward) {
		q.Reward = set.Rewards[0]
	}
	return q
}

// pairsOfPage is the number of pairs per page.
const pairsOfPage = 40

// A listed is a pair in the list.
type listed struct {
	N int // position in the file, from 0
	pair
	Reward eval.Rewards
	Known  bool
	Link   any
}

// explorer is the page of pairs: search, filters and the list. With fragment it is the list only.
func (a *App) explorer(w http.ResponseWriter, r *http.Request) {
	values := r.URL.Query()
	if values.Get("file") == "" {
		a.render(w, r, "files", "Pairs", a.pairFiles())
		return
	}
	file, set, err := a.openPairs(values)
	if err != nil {
		a.failed(w, r, err)
		return
	}
	began := time.Now()
	q := readQuery(values, set)
	chosen := set.choose(q)
	took := time.Since(began)
	at, _ := strconv.Atoi(values.Get("page"))
	last := max(0, (len(chosen)-1)/pairsOfPage)
	at = min(max(0, at), last)
	var rows []listed
	for _, n := range chosen[min(len(chosen), at*pairsOfPage):min(len(chosen),
		(at+1)*pairsOfPage)] {
		to := url.Values{"run": {file.Run}, "file": {file.File}, "n": {strconv.Itoa(n + 1)}}
		of, known := set.Pairs[n].Rewards[q.Reward]
		rows = append(rows, listed{n, set.Pairs[n], of, known, link("/pair", to)})
	}
	turn := func(page int) any {
		to := url.Values{}
		for key, v := range values {
			if key != "fragment" {
				to[key] = v
			}
		}
		to.Set("page", strconv.Itoa(page))
		return link("/pairs", to)
	}
	body := map[string]any{"File": file, "Set": set, "Query": q, "Rows": rows, "Found": len(chosen),
		"All": len(set.Pairs), "Page": at, "Last": last, "Milliseconds": took.Milliseconds(),
		"Close": set.close[q.Reward], "Long": set.long}
	if at > 0 {
		body["Before"] = turn(at - 1)
	}
	if at < last {
		body["After"] = turn(at + 1)
	}
	if values.Has("fragment") {
		a.write(w, r, "rows", body)
		return
	}
	a.render(w, r, "pairs", "Pairs", body)
}

// pair is the page of one pair. With tokens, the chosen models read its responses; with fragment
// too, the page is that part only.
func (a *App) pair(w http.ResponseWriter, r *http.Request) {
	values := r.URL.Query()
	file, set, err := a.openPairs(values)
	if err != nil {
		a.failed(w, r, err)
		return
	}
	number, err := strconv.Atoi(values.Get("n")) // from 1, like all numbers that users see
	if err != nil || number < 1 || number > len(set.Pairs) {
		a.fail(w, r, http.StatusNotFound, fmt.Errorf("there is no pair %q: the file has 1 to %d",
			values.Get("n"), len(set.Pairs)))
		return
	}
	n := number - 1
	p := set.Pairs[n]
	list := a.modelList()
	names := chosenModels(list, values["model"], file.Run)
	body := map[string]any{"File": file, "Set": set, "N": n, "Pair": p, "Models": list,
		"Chosen": names, "Disagree": p.disagree()}
	to := url.Values{"run": {file.Run}, "file": {file.File}, "n": {strconv.Itoa(number)},
		"model": names, "tokens": {"1"}}
	body["Tokens"] = link("/pair", to)
	if values.Has("tokens") {
		body["Explained"] = a.explain(r.Context(), names, []pref.Sample{
			{Prompt: p.Prompt, Response: p.Chosen}, {Prompt: p.Prompt, Response: p.Rejected}})
		body["Labels"] = []string{"chosen", "rejected"}
	}
	if values.Has("fragment") {
		a.write(w, r, "maps", body)
		return
	}
	turn := func(k int) any {
		return link("/pair", url.Values{"run": {file.Run}, "file": {file.File},
			"n": {strconv.Itoa(k + 1)}, "model": values["model"]})
	}
	if n > 0 {
		body["Before"] = turn(n - 1)
	}
	if n+1 < len(set.Pairs) {
		body["After"] = turn(n + 1)
	}
	a.render(w, r, "pair", fmt.Sprintf("Pair %d", n+1), body)
}

// chosenModels returns the requested models; else the run's own, or the first.
func chosenModels(list []namedModel, asked []string, run string) []string {
	if len(asked) > 0 || len(list) == 0 {
		return asked
	}
	for _, m := range list {
		if m.Name == run {
			return []string{run}
		}
	}
	return []string{list[0].Name}
}
