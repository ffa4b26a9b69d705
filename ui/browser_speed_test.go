package ui

import (
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// frames moves the cursor over the first plot, which all plots follow, and the smoothing, which
// draws all of them anew, for 120 frames each. It leaves the times between frames, milliseconds, as
// window.times.
const frames = `(async () => {
	const next = () => new Promise(requestAnimationFrame);
	const over = document.querySelector(".u-over"), range = document.querySelector("#smooth");
	const at = over.getBoundingClientRect(), times = {};
	const measure = async (name, act) => {
		const list = [];
		let last = await next();
		for (let i = 0; i < 120; i++) {
			act(i);
			const now = await next();
			list.push(now - last);
			last = now;
		}
		list.sort((a, b) => a - b);
		times[name] = [list[60], list[114]];
	};
	over.dispatchEvent(new MouseEvent("mouseenter"));
	await measure("cursor", (i) => over.dispatchEvent(new MouseEvent("mousemove",
		{ clientX: at.left + at.width * i / 120, clientY: at.top + 50, bubbles: true })));
	await measure("smoothing", (i) => { range.value = i / 125; range.dispatchEvent(new Event("input")); });
	window.times = times;
})(), true`

// slack is how many times as slow as its target a page may be before this fails: the machine that
// tests run on is shared. The figures themselves are logged.
const slack = 4

// TestBrowserSpeed measures what pages of many steps, runs and pairs take in a real browser.
func TestBrowserSpeed(t *testing.T) {
	root := t.TempDir()
	writeRun(t, filepath.Join(root, "long"), 100_000, 20_000)
	for i := range 49 {
		writeRun(t, filepath.Join(root, fmt.Sprintf("run%d", i)), 1000, 2)
	}
	b := openBrowser(t, app(t, nil, root))
	b.open(t, "/playground") // the browser has started and has the style sheet
	timed := func(name string, target time.Duration, act func()) {
		t.Helper()
		began := time.Now()
		act()
		took := time.Since(began)
		t.Logf("%s: %d ms, target %d ms", name, took.Milliseconds(), target.Milliseconds())
		if took > slack*target {
			t.Errorf("%s takes %v, target %v", name, took, target)
		}
	}
	timed("50 runs are listed", time.Second, func() {
		b.open(t, "/")
		b.do(t, chromedp.WaitVisible(chromedp.CSS(`a[href="/runs?run=long"]`)))
	})
	app := app(t, nil, root)
	other := openBrowser(t, app) // one that has no index of the run
	other.open(t, "/playground")
	timed("a run of 100,000 steps is opened, to its curves", time.Second, func() {
		other.do(t, chromedp.Navigate(other.url+"/runs?run=long"),
			chromedp.WaitVisible(chromedp.CSS(".chart canvas")))
	})
	valueOf[bool](t, other, frames)
	other.until(t, "window.times !== undefined")
	for _, name := range []string{"cursor", "smoothing"} {
		times := valueOf[[]float64](t, other, "window.times."+name)
		t.Logf("frames while the %s moves: median %.1f ms, 95th of 100 %.1f ms, target 16.7 ms", name,
			times[0], times[1])
		if times[0] > slack*16.7 {
			t.Errorf("a frame takes %.1f ms while the %s moves", times[0], name)
		}
	}
	b.open(t, "/pairs"+values("run", "long", "file", "pairs.jsonl"))
	timed("20,000 pairs are filtered, after the last key", 200*time.Millisecond, func() {
		b.do(t, chromedp.Click(chromedp.CSS("input[name=disagree]")))
		b.until(t, text("#rows [role=status]")+" === '5000 of 20000 pairs'")
	})
	for _, path := range []string{"/", "/runs?run=long", "/evaluations", "/playground",
		"/pairs" + values("run", "long", "file", "pairs.jsonl")} {
		code, body := get(t, app, path)
		t.Logf("%s: %d kB", path, len(body)/1000)
		if code != http.StatusOK || len(body) > 300_000 {
			t.Errorf("%s: status %d, %d bytes", path, code, len(body))
		}
	}
}
