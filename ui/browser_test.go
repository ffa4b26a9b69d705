package ui

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdpruntime "github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"haf/internal/filelock"
	"haf/report"
)

// A browser is a real one, and what it complained of and asked for.
type browser struct {
	ctx context.Context
	url string

	mu       sync.Mutex
	problems []string
}

// openBrowser starts chromium on an app of the runs in root.
func openBrowser(t *testing.T, a *App) *browser {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skip("no chromium is installed: make browser installs it where it can")
	}
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path),
		chromedp.WindowSize(1200, 900), chromedp.Flag("disable-dev-shm-usage", true))
	if os.Getuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	b := &browser{url: server.URL}
	b.ctx, cancel = chromedp.NewContext(ctx, chromedp.WithListener(b.listen))
	t.Cleanup(cancel)
	// The first action starts the browser, which lives as long as the context of that action.
	if err := chromedp.Do(b.ctx, chromedp.Navigate("about:blank")); err != nil {
		t.Fatal(err)
	}
	call(t, b, network.Enable, network.EnableParams{})
	call(t, b, log.Enable, cdp.Empty{})
	return b
}

// listen notes errors of the console and requests to other machines.
func (b *browser) listen(event any) {
	note := func(format string, args ...any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.problems = append(b.problems, fmt.Sprintf(format, args...))
	}
	switch e := event.(type) {
	case *cdpruntime.EventConsoleAPICalled:
		if e.Type == cdpruntime.ConsoleAPICalledTypeError ||
			e.Type == cdpruntime.ConsoleAPICalledTypeWarning {
			note("console: %s", e.Args[0].Value)
		}
	case *cdpruntime.EventExceptionThrown:
		note("exception: %s", e.ExceptionDetails.Exception.Description)
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			note("log: %s %s", e.Entry.Text, e.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		u, err := url.Parse(e.Request.URL)
		if err != nil || u.Scheme != "http" || u.Hostname() != "127.0.0.1" {
			note("request to %s", e.Request.URL)
		}
	}
}

// patience bounds an action.
const patience = 30 * time.Second

func (b *browser) do(t *testing.T, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		t.Fatalf("%v; the browser says %q", err, b.problems)
	}
}

// call sends a command of the protocol.
func call[P, R any](t *testing.T, b *browser, command cdp.Command[P, R], params P) {
	t.Helper()
	if _, err := chromedp.Call(b.ctx, command, params); err != nil {
		t.Fatal(err)
	}
}

// valueOf returns what an expression is.
func valueOf[T any](t *testing.T, b *browser, expression string) T {
	t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// open goes to a page.
func (b *browser) open(t *testing.T, path string) {
	t.Helper()
	b.do(t, chromedp.Navigate(b.url+path), chromedp.WaitVisible(chromedp.CSS("main")))
}

// until waits for an expression to be true.
func (b *browser) until(t *testing.T, expression string) {
	t.Helper()
	poll := chromedp.Poll[bool](expression, chromedp.WithPollingTimeout(patience))
	if _, err := chromedp.Run(b.ctx, poll); err != nil {
		t.Fatalf("%s: %v; the browser says %q; the page: %s", expression, err, b.problems,
			valueOf[string](t, b, "document.body.innerText"))
	}
}

// text is what stands in an element.
func text(selector string) string {
	return fmt.Sprintf("(document.querySelector(%q)?.textContent ?? '')", selector)
}

// prefer sets the scheme that the browser prefers.
func (b *browser) prefer(t *testing.T, scheme string) {
	t.Helper()
	call(t, b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
}

// TestBrowser goes through the app in a real browser: it follows a run, filters pairs, reads tokens
// by keyboard, and edits an answer. Nothing may be complained of, and nothing asked elsewhere.
func TestBrowser(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "run <b>")
	writeRun(t, dir, 2500, 60)
	writeRun(t, filepath.Join(root, "other"), 50, 3)
	lock, err := filelock.Acquire(filepath.Join(dir, ".lock"))
	if err != nil {
		t.Fatal(err)
	}
	b := openBrowser(t, app(t, nil, root))

	b.open(t, "/")
	b.do(t, chromedp.Click(chromedp.CSS(`a[href^="/runs?run=run"]`)), chromedp.WaitVisible(chromedp.CSS(".chart canvas")))
	b.until(t, text("#live")+".startsWith('following · one of 3 steps')")
	f, err := os.OpenFile(filepath.Join(dir, "metrics.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(step(t, 2501)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	b.until(t, text("[data-steps]")+" === '2501'")
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	b.until(t, text(".state")+" === 'stopped'")
	b.do(t, chromedp.SendKeys(chromedp.CSS("#from"), "1200"),
		chromedp.SendKeys(chromedp.CSS("#to"), "1300"+kb.Enter))
	b.until(t, text("#live")+" === '' && !document.querySelector('#whole').hidden")
	// The legend has the value itself, and the mean beside it under its name.
	b.until(t, text(".chart:nth-child(1) .legend li")+" === 'total0.0007692smoothed 0.0007701'")
	b.do(t, chromedp.ScrollIntoView(chromedp.CSS("#figures")),
		chromedp.WaitVisible(chromedp.CSS("#figures figure svg")))
	b.open(t, "/runs"+values("run", "run <b>", "run", "other"))
	b.do(t, chromedp.WaitVisible(chromedp.CSS(".chart canvas")))

	b.open(t, "/pairs"+values("run", "run <b>", "file", "pairs.jsonl"))
	b.do(t, chromedp.Click(chromedp.CSS("input[name=disagree]")))
	b.until(t, text("#rows [role=status]")+" === '15 of 60 pairs'")
	b.do(t, chromedp.SendKeys(chromedp.CSS("input[name=q]"), "question 22"))
	b.until(t, text("#rows [role=status]")+" === '1 of 60 pairs'")

	b.do(t, chromedp.Click(chromedp.CSS("a.pair")), chromedp.WaitVisible(chromedp.CSS(".tok")),
		chromedp.Focus(chromedp.CSS(".tok")))
	b.do(t, chromedp.KeyEvent(kb.ArrowRight))
	b.until(t, text(".readout")+".startsWith('“chosen ” +3.0000 = 0.1 · (log π −1.0000')")
	b.do(t, chromedp.Blur(chromedp.CSS(".tok:focus")))
	b.until(t, text(".readout")+" === '3 tokens, sum +5.0000 = implicit reward'")

	b.open(t, "/playground")
	b.do(t, chromedp.SendKeys(chromedp.CSS("textarea[name=conversation]"), "why"),
		chromedp.SendKeys(chromedp.CSS("textarea[name=answer]"), "because"))
	b.until(t, text("[data-key='one 0 score']")+" === '+7.0000'")
	b.do(t, chromedp.SendKeys(chromedp.CSS("textarea[name=answer]"), kb.End+" so"))
	b.until(t, text("[data-key='one 0 score'] .delta")+" === '▲ +3.0000'")
	if len(b.problems) > 0 {
		t.Errorf("the browser complains: %s", strings.Join(b.problems, "\n"))
	}
}

// contrast lists the texts of a page whose contrast with their ground is below that of WCAG AA.
const contrast = `(() => {
	const parse = (c) => (c.match(/[\d.]+/g) || []).map(Number);
	const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
		.map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
		.reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
	const ground = (e) => {
		for (; e; e = e.parentElement) {
			const c = parse(getComputedStyle(e).backgroundColor);
			if (c.length === 3 || c[3] === 1) return c;
		}
		return parse(getComputedStyle(document.body).backgroundColor);
	};
	const bad = [];
	for (const e of document.querySelectorAll("body *")) {
		const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
		if (!own || !e.checkVisibility() || e.closest("svg, .unseen, option")) continue;
		const style = getComputedStyle(e), a = light(parse(style.color)), b = light(ground(e));
		const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		if (ratio < 4.5) bad.push(e.className + " " + e.textContent.trim().slice(0, 30) + " " + ratio.toFixed(2));
	}
	return bad;
})()`

// TestBrowserPages wants every page to have enough contrast in both schemes, to fit a phone, and to
// have its tables without scripts.
func TestBrowserPages(t *testing.T) {
	root := t.TempDir()
	writeRun(t, filepath.Join(root, "run"), 40, 60)
	b := openBrowser(t, app(t, nil, root))
	pages := []string{"/", "/evaluations", "/runs?run=run", "/pairs",
		"/pairs" + values("run", "run", "file", "pairs.jsonl"),
		"/pair" + values("run", "run", "file", "pairs.jsonl", "n", "2", "tokens", "1", "model", "one"),
		"/playground", "/figures" + values("run", "run", "file", "pairs.jsonl")}
	for _, scheme := range []string{"light", "dark"} {
		b.prefer(t, scheme)
		for _, path := range pages {
			b.open(t, path)
			if strings.HasPrefix(path, "/runs") {
				b.do(t, chromedp.WaitVisible(chromedp.CSS(".chart canvas")))
			}
			if bad := valueOf[[]string](t, b, contrast); len(bad) > 0 {
				t.Errorf("%s, %s: too little contrast: %q", path, scheme, bad)
			}
		}
	}
	b.do(t, chromedp.EmulateViewport(360, 740))
	for _, path := range pages {
		b.open(t, path)
		if wide := valueOf[int](t, b, "document.documentElement.scrollWidth"); wide > 360 {
			t.Errorf("%s is %d wide on a phone of 360", path, wide)
		}
	}
	b.do(t, chromedp.EmulateViewport(1200, 900))
	call(t, b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{
		Value: true})
	for path, want := range map[string]string{pages[0]: "td a[href]", pages[1]: "table.heat td.h4",
		pages[2]: "a[href^='/figures']", pages[4]: "a.pair", pages[5]: ".tok.p5",
		pages[7]: "figure svg rect"} {
		b.do(t, chromedp.Navigate(b.url+path), chromedp.WaitReady(chromedp.CSS(want)))
	}
	if len(b.problems) > 0 {
		t.Errorf("the browser complains: %s", strings.Join(b.problems, "\n"))
	}
}

// TestBrowserReport wants a page of haf report to have enough contrast in both schemes, and to fit
// a phone: what is wide scrolls by itself.
func TestBrowserReport(t *testing.T) {
	plot := report.Plot{Title: "t", X: "step", Y: "loss",
		Series: []report.Series{{Name: "s", X: []float64{1, 2}, Y: []float64{1, 2}}}}
	figure, err := plot.Figure("loss", "The caption of a figure that is as long as captions are")
	if err != nil {
		t.Fatal(err)
	}
	cells := strings.Split(strings.Repeat("a long cell ", 20), " ")
	page := report.Page{Title: "Runs", Sections: []report.Section{{Title: "Verdict",
		Blocks: []report.Block{report.Lead("One is best."), report.Text("Because."),
			report.List{"an item"}, figure,
			report.Table{Caption: "The caption of a table that is as long as captions are",
				Header: cells, Rows: [][]string{cells}}}}}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		if r.URL.Path == "/page" {
			_, _ = io.WriteString(w, page.HTML())
		}
	}))
	defer server.Close()
	b := openBrowser(t, app(t, nil, t.TempDir()))
	for _, scheme := range []string{"light", "dark"} {
		b.prefer(t, scheme)
		b.do(t, chromedp.Navigate(server.URL+"/page"), chromedp.WaitVisible(chromedp.CSS("table")))
		if bad := valueOf[[]string](t, b, contrast); len(bad) > 0 {
			t.Errorf("%s: too little contrast: %q", scheme, bad)
		}
	}
	b.do(t, chromedp.EmulateViewport(360, 740), chromedp.Reload())
	if wide := valueOf[int](t, b, "document.documentElement.scrollWidth"); wide > 360 {
		t.Errorf("the page is %d wide on a phone of 360", wide)
	}
	letters := valueOf[float64](t, b,
		"document.querySelector('svg text').getBoundingClientRect().height")
	if letters < 10 {
		t.Errorf("letters of a drawing are %.1f high on a phone", letters)
	}
	if len(b.problems) > 0 {
		t.Errorf("the browser complains: %s", strings.Join(b.problems, "\n"))
	}
}
