package ui

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestHostileRequests wants wrong methods, requests of other sites, paths that lead elsewhere and
// one run named many times to be refused, or to cost no more than one.
func TestHostileRequests(t *testing.T) {
	root := t.TempDir()
	writeRun(t, filepath.Join(root, "run"), 30, 4)
	a := app(t, nil, root)
	do := func(method, target string, header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "http://127.0.0.1:8765"+target, nil)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)
		return w
	}
	for _, path := range []string{"/", "/runs", "/api/series", "/evaluations", "/pairs", "/pair",
		"/playground", "/login", "/assets/app.js"} {
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"} {
			w := do(method, path)
			allow := strings.Split(w.Header().Get("Allow"), ", ")
			if slices.Contains([]string{"/playground", "/login"}, path) && method == "POST" {
				continue
			}
			if w.Code != http.StatusMethodNotAllowed || !slices.Contains(allow, "GET") ||
				slices.Contains(allow, method) {
				t.Errorf("%s %s: %d, Allow %q", method, path, w.Code, allow)
			}
		}
		for _, site := range []string{"cross-site", "same-site"} {
			for _, mode := range []string{"no-cors", "cors", "navigate"} {
				w := do("GET", path, "Sec-Fetch-Site", site, "Sec-Fetch-Mode", mode, "Sec-Fetch-Dest",
					"iframe")
				if w.Code != http.StatusForbidden {
					t.Errorf("%s from a page of another site (%s): %d", path, mode, w.Code)
				}
			}
		}
		if w := do("GET", path, "Origin", "http://evil.example"); w.Code != http.StatusForbidden {
			t.Errorf("%s for another origin: %d", path, w.Code)
		}
	}
	link := []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest",
		"document"}
	for path, want := range map[string]int{"/runs?run=run": 200, "/api/series?run=run": 403,
		"/pair?run=run&file=pairs.jsonl&n=1": 200, "/pair?run=run&file=pairs.jsonl&n=1&tokens=1": 403} {
		if w := do("GET", path, link...); w.Code != want {
			t.Errorf("a link to %s: %d, want %d", path, w.Code, want)
		}
		if w := do("GET", path, "Sec-Fetch-Site", "same-origin"); w.Code != 200 {
			t.Errorf("%s by itself: %d", path, w.Code)
		}
	}
	one := do("GET", "/api/series?run=run").Body.Len()
	many := do("GET", "/api/series?run=run"+strings.Repeat("&run=run", 800)).Body.Len()
	if many != one {
		t.Errorf("the series of a run that is named 801 times has %d bytes, %d alone", many, one)
	}
	for _, path := range []string{"/runs?run=../../etc", "/runs?run=" + root, "/runs?run=%00",
		"/pairs?run=run&file=../manifest.json", "/pairs?run=run&file=manifest.json",
		"/pair?run=run&file=pairs.jsonl&n=0", "/pair?run=run&file=pairs.jsonl&n=1e9",
		"/assets/..%2f..%2fserver.go", "/api/series?run=..%2f..", "/nothing"} {
		if w := do("GET", path); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

// TestManyRuns bounds the runs of one page.
func TestManyRuns(t *testing.T) {
	root, query := t.TempDir(), "/api/series?"
	for i := range mostCompared + 1 {
		name := "run" + strings.Repeat("x", i)
		writeRun(t, filepath.Join(root, name), 1, 0)
		query += "run=" + name + "&"
	}
	if code, body := get(t, app(t, nil, root), query); code != http.StatusBadRequest ||
		!strings.Contains(body, "choose fewer") {
		t.Errorf("%d %.200s", code, body)
	}
}
