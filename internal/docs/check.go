package main

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"haf/recipe"
)

// columns is the largest length of a line of prose or code, in runes.
const columns = 100

// history are pages about the past, whose names need not exist any more.
var history = []string{"docs/dev/decisions/", "docs/dev/log/", "docs/dev/results/", "docs/results/"}

// measured are pages written by other programs of the repository, whose long lines are allowed.
var measured = []string{"docs/dev/results/", "docs/results/", "docs/dev/growth.md"}

// isBelow reports whether the name begins with one of the prefixes.
func isBelow(name string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool {
		return strings.HasPrefix(name, prefix)
	})
}

// check returns the problems of all pages, in page order.
func check(root string) ([]problem, error) {
	pages, err := readPages(root)
	if err != nil {
		return nil, err
	}
	names, err := readNames(root, pages)
	if err != nil {
		return nil, err
	}
	var problems []problem
	for _, p := range pages {
		problems = append(problems, checkLinks(root, p, pages)...)
		if !isBelow(p.name, measured) {
			problems = append(problems, checkColumns(p)...)
		}
		if !isBelow(p.name, history) {
			problems = append(problems, checkNames(p, names)...)
			problems = append(problems, checkWords(p, names.avoided)...)
			problems = append(problems, checkKeys(p, names)...)
		}
	}
	problems = append(problems, checkReached(pages)...)
	stale, err := checkGenerated(root)
	if err != nil {
		return nil, err
	}
	problems = append(problems, stale...)
	lost, err := checkMentions(root)
	if err != nil {
		return nil, err
	}
	problems = append(problems, lost...)
	route, err := checkRoute(root, pages)
	if err != nil {
		return nil, err
	}
	problems = append(problems, route...)
	wide, err := checkGo(root)
	return append(problems, wide...), err
}

// sourceFile matches a Go file below the root, with its folder.
var sourceFile = regexp.MustCompile(`\b[\w/]+/\w+\.go\b`)

// checkRoute compares the reading paths in doc.go and in the architecture page.
func checkRoute(root string, pages []page) ([]problem, error) {
	text, err := os.ReadFile(filepath.Join(root, "doc.go"))
	if err != nil {
		return nil, err
	}
	want := strings.Join(sourceFile.FindAllString(string(text), -1), " ")
	var steps []string
	for _, p := range pages {
		for _, l := range p.lines {
			if p.name == architectureName && routeStep.MatchString(l.text) {
				steps = append(steps, sourceFile.FindString(l.text))
			}
		}
	}
	if got := strings.Join(steps, " "); got != want {
		text := "its reading path is " + got + ", that of doc.go " + want
		return []problem{{architectureName, 1, text}}, nil
	}
	return nil, nil
}

// routeStep is a step of the reading path.
var routeStep = regexp.MustCompile("^\\d+\\. `[\\w/]+\\.go`")

// pageName matches a page or folder of docs in comments.
var pageName = regexp.MustCompile(`\bdocs/(?:[\w-]+/)*[\w-]+\.(?:md|svg|jsonl)\b`)

// checkMentions checks that pages named in the source, recipes and the Makefile exist.
func checkMentions(root string) (problems []problem, err error) {
	var files []string
	for _, pattern := range []string{"Makefile", "*/*.go", "*/*/*.go", "*/*/*.py", "recipes/*.toml"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return nil, err
		}
		files = append(files, found...)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		rel, _ := filepath.Rel(root, file)
		if strings.HasPrefix(filepath.ToSlash(rel), "internal/docs/") {
			continue // its tests name pages that do not exist
		}
		for i, l := range strings.Split(string(text), "\n") {
			for _, name := range pageName.FindAllString(l, -1) {
				if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(name))); err != nil {
					text := "there is no " + name
					problems = append(problems, problem{filepath.ToSlash(rel), i + 1, text})
				}
			}
		}
	}
	return problems, nil
}

// checkGenerated compares the generated pages with their sources.
func checkGenerated(root string) ([]problem, error) {
	generated, err := generate(root)
	if err != nil {
		return nil, err
	}
	var problems []problem
	for _, name := range sortedKeys(generated) {
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil || string(text) != generated[name] {
			problems = append(problems, problem{name, 1, "is stale: run make docs"})
		}
	}
	return problems, nil
}

// checkLinks checks the file and the heading of every relative link.
func checkLinks(root string, p page, pages []page) (problems []problem) {
	for number, target := range p.links {
		if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
			continue
		}
		file, name, hasAnchor := strings.Cut(target, "#")
		to := p.name
		if file != "" {
			to = path.Join(path.Dir(p.name), file)
		}
		if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(to))); err != nil {
			text := "link to " + target + ": no such file"
			problems = append(problems, problem{p.name, number, text})
			continue
		}
		if i := slices.IndexFunc(pages, func(q page) bool { return q.name == to }); hasAnchor &&
			(i < 0 || !pages[i].anchors()[name]) {
			text := "link to " + target + ": no such heading"
			problems = append(problems, problem{p.name, number, text})
		}
	}
	return problems
}

// checkReached checks that every page can be reached by links from README.md.
func checkReached(pages []page) (problems []problem) {
	reached, todo := map[string]bool{"README.md": true}, []string{"README.md"}
	for len(todo) > 0 {
		i := slices.IndexFunc(pages, func(p page) bool { return p.name == todo[0] })
		todo = todo[1:]
		if i < 0 {
			continue
		}
		for _, target := range pages[i].links {
			file, _, _ := strings.Cut(target, "#")
			to := path.Join(path.Dir(pages[i].name), file)
			if !reached[to] && !strings.Contains(target, "://") {
				reached[to], todo = true, append(todo, to)
			}
		}
	}
	for _, p := range pages {
		if !reached[p.name] {
			problems = append(problems, problem{p.name, 1, "no page links here"})
		}
	}
	return problems
}

// checkColumns limits lines to 100 columns, except tables, links, and blocks of output and JSON,
// which cannot be wrapped.
func checkColumns(p page) (problems []problem) {
	for i, l := range p.lines {
		long := utf8.RuneCountInString(l.text) > columns
		free := strings.HasPrefix(strings.TrimSpace(l.text), "|") || strings.Contains(l.text, "](") ||
			strings.Contains(l.text, "://") || l.language == "text" || l.language == "json"
		if long && !free {
			problems = append(problems, problem{p.name, i + 1, "is longer than 100 columns"})
		}
	}
	return problems
}

// checkWords rejects the words that docs/dev/style.md tells to avoid. It skips tables in generated
// pages, which repeat the source.
func checkWords(p page, avoided []string) (problems []problem) {
	if p.name == styleName {
		return nil
	}
	generated := slices.Contains([]string{commandsName, configurationName, architectureName}, p.name)
	for i, l := range p.lines {
		if l.inBlock || generated {
			continue
		}
		prose := " " + strings.ToLower(codeSpan.ReplaceAllString(l.text, "")) + " "
		for _, word := range avoided {
			at := strings.Index(prose, word)
			if at >= 0 && !isWord(prose[at-1]) && !isWord(prose[at+len(word)]) {
				text := "avoid " + word + ": see " + styleName
				problems = append(problems, problem{p.name, i + 1, text})
			}
		}
	}
	return problems
}

func isWord(b byte) bool { return b >= 'a' && b <= 'z' || b >= '0' && b <= '9' || b >= 0x80 }

// checkKeys checks that the keys in the tables of the metrics page are JSON keys in the source.
func checkKeys(p page, names *names) (problems []problem) {
	if p.name != metricsName {
		return nil
	}
	for i, l := range p.lines {
		cells := strings.SplitN(l.text, "|", 3)
		if l.inBlock || len(cells) < 3 || strings.TrimSpace(cells[0]) != "" {
			continue
		}
		for _, m := range codeSpan.FindAllStringSubmatch(cells[1], -1) {
			if !names.jsonKeys[m[1]] && !strings.HasPrefix(m[1], "-") {
				problems = append(problems, problem{p.name, i + 1, "no struct has the JSON key " + m[1]})
			}
		}
	}
	return problems
}

var (
	recipeKey   = regexp.MustCompile(`^(model|lora|data|objective|train|rlhf)\.[a-z][a-z0-9_.]*$`)
	fileName    = regexp.MustCompile(`\.(jsonl?|safetensors|toml|md|go|py|txt|gguf|svg|html)$`)
	identifier  = regexp.MustCompile(`^([a-z]+)\.([A-Z]\w*)$`)
	packagePath = regexp.MustCompile(`^(\./)?[\w./*-]+$`)
	flagName    = regexp.MustCompile(`^-[a-z][a-z-]*`)
	makeTarget  = regexp.MustCompile(`^[a-z][a-z-]*$`)
)

// checkNames checks that everything a page names exists. It reads whole code spans.
func checkNames(p page, names *names) (problems []problem) {
	report := func(number int, text string) {
		if text != "" {
			problems = append(problems, problem{p.name, number, text})
		}
	}
	for i, l := range p.lines {
		if !l.inBlock && strings.Count(l.text, "`")%2 != 0 {
			report(i+1, "a code span is not closed on its line")
		}
	}
	for number, span := range p.spans {
		words := strings.Fields(span)
		switch {
		case len(words) == 0:
		case words[0] == "haf" || words[0] == "make" || words[0] == "go":
			report(number, names.command(words))
		case flagName.MatchString(span):
			if name := flagName.FindString(span)[1:]; !names.hasFlag("", name) {
				report(number, "no verb has the flag -"+name)
			}
		case recipeKey.MatchString(span) && !fileName.MatchString(span):
			report(number, names.key(span))
		case identifier.MatchString(span):
			report(number, names.identifier(span))
		case packagePath.MatchString(span):
			report(number, names.path(span))
		}
	}
	for _, c := range p.commands() {
		report(c.number, names.command(c.words))
	}
	return problems
}

// command returns the fault of a command line, or "".
func (n *names) command(words []string) string {
	switch {
	case path.Base(words[0]) == "haf":
		return n.haf(words[1:])
	case words[0] == "make":
		for _, target := range words[1:] {
			if makeTarget.MatchString(target) && !n.targets[target] {
				return "the Makefile has no target " + target
			}
		}
	case words[0] == "go" && len(words) > 1 && (words[1] == "test" || words[1] == "run"):
		for _, word := range words[2:] {
			if strings.HasPrefix(word, "./") && !strings.HasSuffix(word, "...") {
				return n.path(word)
			}
		}
	}
	return ""
}

// haf checks the verb, the flags and the overrides in a command line of haf.
func (n *names) haf(words []string) string {
	verb := ""
	for i, word := range words {
		switch {
		case strings.HasPrefix(word, "-"):
			name := strings.TrimPrefix(flagName.FindString(word), "-")
			if name == "" || name == "h" || name == "help" {
				continue
			}
			if !n.hasFlag(verb, name) {
				return strings.TrimSpace("haf "+verb) + " has no flag -" + name
			}
			if name == "set" && i+1 < len(words) {
				if key, _, ok := strings.Cut(strings.Trim(words[i+1], `"'`), "="); ok {
					if text := n.key(key); text != "" {
						return text
					}
				}
			}
		case verb == "" && makeTarget.MatchString(word):
			if verb = word; n.flags[verb] == nil {
				return "haf has no verb " + verb
			}
		case verb == "":
			return ""
		}
	}
	return ""
}

// key returns the fault of a recipe key, or "".
func (n *names) key(key string) string {
	for _, known := range recipe.Keys() {
		if known == key || strings.HasPrefix(known, key+".") {
			return ""
		}
	}
	return "a recipe has no key " + key
}
