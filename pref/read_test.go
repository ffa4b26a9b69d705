package pref

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"haf/internal/shared"
)

// file writes content under a temporary folder.
func file(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func zipped(t testing.TB, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// pairRows are n rows of the form pairs, each with a prompt of its own.
func pairRows(n int) []string {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = fmt.Sprintf(`{"prompt":"prompt %d","chosen":"good","rejected":"bad"}`, i)
	}
	return lines
}

func collect[T any](seq iter.Seq2[T, error]) (all []T, err error) {
	for x, err := range seq {
		if err != nil {
			return all, err
		}
		all = append(all, x)
	}
	return all, nil
}

func TestReadFiles(t *testing.T) {
	lines := pairRows(3)
	jsonl := []byte(strings.Join(lines, "\n") + "\n")
	array := []byte(" [\n" + strings.Join(lines, ",\n") + "\n] \n")
	bom := []byte("\ufeff")
	for name, content := range map[string][]byte{
		"a.jsonl":        jsonl,
		"b.json":         array,
		"c.jsonl.gz":     zipped(t, jsonl),
		"d.json.gz":      zipped(t, array),
		"e.jsonl":        zipped(t, jsonl), // the name does not say it
		"f.jsonl.gz":     jsonl,            // the name lies
		"g.jsonl":        slices.Concat(bom, jsonl),
		"h.json":         slices.Concat(bom, array),
		"i.json.gz":      zipped(t, slices.Concat(bom, array)),
		"j.json":         jsonl,                        // lines named .json
		"k.jsonl":        bytes.TrimRight(jsonl, "\n"), // no last line end
		"l.jsonl":        bytes.ReplaceAll(jsonl, []byte("\n"), []byte("\r\n")),
		"n.GZ":           zipped(t, jsonl),
		"two members.gz": slices.Concat(zipped(t, jsonl[:20]), zipped(t, jsonl[20:])),
	} {
		var counts Counts
		path := file(t, name, content)
		groups, err := collect(Read(path, Options{}, &counts))
		if err != nil || len(groups) != 3 || counts.Read != 3 || counts.Kept != 3 ||
			counts.Comparisons != 3 {
			t.Errorf("%s: %d groups, %v, %v", name, len(groups), err, &counts)
			continue
		}
		for i, g := range groups {
			want := NewPair(user(fmt.Sprint("prompt ", i)), "good", "bad", Location{path, i + 1})
			if !reflect.DeepEqual(g, want) {
				t.Errorf("%s: %+v, want %+v", name, g, want)
			}
		}
	}
}

func TestBlankLinesCount(t *testing.T) {
	groups, err := collect(Read(file(t, "a.jsonl", []byte("\n"+pairRows(1)[0]+"\n \n"+pairRows(1)[0])),
		Options{}, nil))
	if err != nil || len(groups) != 2 || groups[0].Source.Line != 2 || groups[1].Source.Line != 4 {
		t.Errorf("%+v, %v", groups, err)
	}
}

func TestLongLines(t *testing.T) {
	long := strings.Repeat("é and so on. ", 400_000)
	row := `{"prompt":"q","chosen":"` + long + `","rejected":"bad"}`
	for name, content := range map[string]string{"a.jsonl": row + "\n" + row, "a.json": "[" + row +
		"," + row + "]"} {
		groups, err := collect(Read(file(t, name, []byte(content)), Options{}, nil))
		if err != nil || len(groups) != 2 || groups[1].Responses[0] != long {
			t.Errorf("%s: %d groups, %v", name, len(groups), err)
		}
	}
}

func TestRowsAreBounded(t *testing.T) {
	row := `{"a":"` + strings.Repeat("x", 5000) + `"}`
	for _, text := range []string{row, "[" + row + "]"} {
		got, err := collect(rows(bufio.NewReader(strings.NewReader(text)), false, 1000))
		if len(got) != 0 || err == nil || !strings.Contains(err.Error(), "longer than 1000 bytes") {
			t.Errorf("%d rows, %v", len(got), err)
		}
	}
	// The bound is on a row, not on the file.
	small := strings.Repeat(`{"a":1},`, 2000)
	if got, err := collect(rows(bufio.NewReader(strings.NewReader("["+small+"{}]")), false,
		1000)); err != nil || len(got) != 2001 {
		t.Errorf("%d rows, %v", len(got), err)
	}
}

func TestReadErrors(t *testing.T) {
	lines := strings.Join(pairRows(2000), "\n")
	whole := zipped(t, []byte(lines))
	broken := slices.Clone(whole)
	broken[len(broken)-6] ^= 1 // the checksum
	for _, c := range []struct{ name, content, want string }{
		{"bad.jsonl", pairRows(1)[0] + "\n" + `{"prompt":"q","chosen":1,"rejected":""}`,
			`bad.jsonl:2: field "chosen": a number, want text or a list of messages`},
		{"bad.json", "[" + pairRows(1)[0] + `, {"prompt":"q","chosen":1,"rejected":""}]`,
			`bad.json:2: field "chosen": a number`},
		{"json.jsonl", pairRows(1)[0] + "\n{", `json.jsonl:2: invalid JSON at byte 1 of the row`},
		{"utf8.jsonl", pairRows(1)[0] + "\n{\"prompt\":\"\xc3\x28\",\"chosen\":\"a\",\"rejected\":\"b\"}",
			`utf8.jsonl:2: field "prompt": invalid UTF-8 at byte 0 of the text (0xc3)`},
		{"utf8.json", "[{\"prompt\":\"a\xc3\x28\",\"chosen\":\"a\",\"rejected\":\"b\"}]",
			`utf8.json:1: field "prompt": invalid UTF-8 at byte 1`},
		{"lines.jsonl", "[1]", `lines.jsonl:1: a list, want a JSON object`},
		{"cut.jsonl.gz", string(whole[:len(whole)/2]), "truncated gzip, want a whole file"},
		{"head.gz", string(whole[:5]), "truncated gzip, want a whole file"},
		{"sum.gz", string(
			broken), "damaged gzip, want a whole file: fetch it again: gzip: invalid checksum"},
		{"cut.json", "[" + pairRows(1)[0] + ",", "cut.json: element 2: the array does not end"},
		{"open.json", "[" + pairRows(1)[0], "open.json: element 2: the array does not end"},
		{"cut.json.gz", string(zipped(t, []byte("["+strings.Join(pairRows(2000), ",")))[:200]),
			"truncated gzip"},
		{"comma.json", "[" + pairRows(1)[0] + pairRows(1)[0] + "]",
			`comma.json: element 2: unexpected character '{', want "," or "]" before it`},
		{"after.json", "[" + pairRows(1)[0] + "]\n[]", "after.json: text after the array's end"},
		{"utf16.jsonl", "\xff\xfe{\x00", "utf16.jsonl: UTF-16 text, want UTF-8"},
		{"empty.jsonl", "", "empty.jsonl: nothing left to use: read 0 rows"},
		{"empty.json", "[]", "empty.json: nothing left to use: read 0 rows"},
		{"dropped.jsonl", `{"prompt":"q","chosen":"a","rejected":"a"}` + "\n" +
			`{"prompt":"q","chosen":"a","rejected":""}`,
			"nothing left to use: read 2 rows, kept 0 groups with 0 comparisons, dropped 2, bad 0, " +
				"duplicates 0; rows dropped: empty response 1, identical responses 1"},
	} {
		path := file(t, c.name, []byte(c.content))
		_, err := collect(Read(path, Options{}, nil))
		if err == nil || !strings.HasPrefix(err.Error(), "pref: "+path) ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v\nwanted %s", c.name, err, c.want)
		}
		groups, counts, loadErr := Load([]string{path}, Options{})
		if groups != nil || counts == nil || fmt.Sprint(loadErr) != fmt.Sprint(err) {
			t.Errorf("%s: load: %v\nwanted %v", c.name, loadErr, err)
		}
		if empty := strings.Contains(c.want, "nothing left"); errors.Is(err, ErrEmpty) != empty {
			t.Errorf("%s: ErrEmpty is %v", c.name, !empty)
		}
	}
	if _, err := collect(Read(filepath.Join(t.TempDir(), "none.jsonl"), Options{},
		nil)); !errors.Is(err, os.ErrNotExist) || !strings.HasPrefix(err.Error(), "pref: ") {
		t.Errorf("missing file: %v", err)
	}
	if _, err := collect(Read(t.TempDir(), Options{}, nil)); err == nil ||
		!strings.Contains(err.Error(),
			"has no file of data, want some of .jsonl, .json, .parquet and .arrow") {
		t.Errorf("a folder: %v", err)
	}
	if _, _, err := Load(nil, Options{}); err == nil {
		t.Error("no path: no error")
	}
}

func TestOptionErrors(t *testing.T) {
	for want, opt := range map[string]Options{
		`pref: format "csv", want one of auto, hh, pairs, groups`: {Format: "csv"},
		"pref: skip-bad -1, want 0 or more":                       {SkipBad: -1},
		"pref: limit -1":                                          {Limit: -1},
		"pref: fraction 1.5, want 0 to 1":                         {Fraction: 1.5},
	} {
		if _, _, err := Load([]string{"x"}, opt); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("load: %v, want %s", err, want)
		}
		if _, err := collect(Read("x", opt, nil)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("read: %v, want %s", err, want)
		}
	}
	if _, err := collect(Read("x", Options{Fraction: 0.5}, nil)); err == nil ||
		!strings.Contains(err.Error(), "use Load") {
		t.Errorf("fraction of a stream: %v", err)
	}
}

func TestSkipBad(t *testing.T) {
	a := file(t, "a.jsonl", []byte(pairRows(1)[0]+"\n{\n"+`{"prompt":3,"chosen":"a","rejected":"b"}`))
	b := file(t, "b.jsonl", []byte("nonsense\n"+pairRows(2)[1]))
	groups, counts, err := Load([]string{a, b}, Options{SkipBad: 3})
	if err != nil || len(groups) != 2 || counts.Bad != 3 || counts.Read != 5 {
		t.Errorf("%d groups, %v, %v", len(groups), counts, err)
	}
	_, counts, err = Load([]string{a, b}, Options{SkipBad: 2})
	if err == nil || !strings.Contains(err.Error(), "b.jsonl:1: ") ||
		!strings.HasSuffix(err.Error(), "(bad row 3, 2 tolerated)") || counts.Bad != 3 {
		t.Errorf("%v, %v", err, counts)
	}
	// A file that is damaged is not a bad row.
	if _, _, err := Load([]string{file(t, "c.json", []byte("["+pairRows(1)[0]+",{]"))},
		Options{SkipBad: 100}); err == nil {
		t.Error("a broken array was tolerated")
	}
}

func TestCounts(t *testing.T) {
	text := strings.Join(append(pairRows(2),
		pairRows(1)[0], // a duplicate
		`{"prompt":"prompt 0","chosen":"good","rejected":"bad","margin":1}`, // not one: it has a margin
		`{"prompt":"q","chosen":"a","rejected":"a"}`,
		`{"prompt":"q","chosen":"","rejected":"a"}`,
		`{"prompt":"q","responses":["a","b","a"],"scores":[3,2,1]}`,
		`{"prompt":"q","responses":["a","b"],"scores":[1,1]}`,
		`{`), "\n")
	path := file(t, "a.jsonl", []byte(text))
	_, c, err := Load([]string{path}, Options{SkipBad: 1})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"read 9 rows, kept 5 groups with 6 comparisons, dropped 3, bad 1, duplicates 1",
		"rows dropped: empty response 1, identical responses 1, no comparison 1",
		"comparisons left out: between identical responses 2, tied 1",
	}
	if !slices.Equal(c.Lines(), want) {
		t.Errorf("%s\nwanted\n%s", strings.Join(c.Lines(), "\n"), strings.Join(want, "\n"))
	}
	// Duplicates are seen across files too.
	if _, c, err = Load([]string{path, path}, Options{SkipBad: 2}); err != nil || c.Duplicates != 6 {
		t.Errorf("%v, %v", c, err)
	}
}

func TestFirst(t *testing.T) {
	a := file(t, "a.jsonl", []byte(strings.Join(pairRows(3), "\n")))
	b := file(t, "b.jsonl", []byte(strings.Join(pairRows(2), "\n")+"\nnot reached"))
	groups, counts, err := Load([]string{a, b}, Options{Limit: 5})
	if err != nil || len(groups) != 5 || groups[4].Source.File != b || counts.Read != 5 {
		t.Errorf("%d groups, %v, %v", len(groups), counts, err)
	}
	if groups, _, err = Load([]string{a, "not opened"}, Options{Limit: 3}); err != nil ||
		len(groups) != 3 {
		t.Errorf("%d groups, %v", len(groups), err)
	}
	if groups, err = collect(Read(b, Options{Limit: 2}, nil)); err != nil || len(groups) != 2 {
		t.Errorf("%d groups, %v", len(groups), err)
	}
}

func TestReadStopsWhereTheLoopDoes(t *testing.T) {
	var counts Counts
	for range Read(file(t, "a.jsonl", []byte(strings.Join(pairRows(100), "\n"))), Options{}, &counts) {
		break
	}
	if counts.Read != 1 {
		t.Errorf("%d rows read after one group, want 1", counts.Read)
	}
}

func TestReadSamples(t *testing.T) {
	path := file(t, "s.jsonl", []byte(`{"prompt":"q","response":"a"}
{"prompt":[{"role":"system","content":"s"},{"role":"user","content":"q"}],"response":[{"role":"assistant","content":""}],"id":7}`))
	got, err := collect(ReadSamples(path, Options{}))
	want := []Sample{{user("q"), "a"},
		{[]Message{{Role: System, Content: "s"}, {Role: User, Content: "q"}}, ""}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	for data, want := range map[string]string{
		`{"prompt":"q"}`:                              `s.jsonl:1: field "response": missing, want it beside "prompt"`,
		`{"response":"a"}`:                            `field "prompt": missing`,
		`{"prompt":"","response":"a"}`:                `field "prompt": empty`,
		`{"prompt":"q","response":3}`:                 `field "response": a number`,
		`{"prompt":"q","response":[{"role":"user"}]}`: `field "response[0].content": missing`,
		`{"prompt":"q","response":[]}`:                `field "response": an empty list`,
		`{"prompt":{"role":"user"},"response":"a"}`:   `field "prompt": an object`,
		"": "nothing left to use",
		"{\"prompt\":\"q\",\"response\":\"a\"}\n{\"prompt\"": "s.jsonl:2: invalid JSON",
	} {
		if _, err := collect(ReadSamples(file(t, "s.jsonl", []byte(data)), Options{})); err == nil ||
			!strings.HasPrefix(err.Error(), "pref: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", data, err, want)
		}
	}
}

// An array's elements are rows as lines are: NaN in a column that is not read does no harm, and one
// that is no JSON is a bad row.
func TestArrayElements(t *testing.T) {
	path := file(t, "a.json", []byte(`[{"prompt":"q","chosen":"a","rejected":"b","x":NaN},
 {"prompt":"q, [\\\"]}","chosen":"a","rejected":"b","margin":-Infinity} , {"prompt" "q"}, 7,{"prompt":"r","chosen":"a","rejected":"b"}]`))
	groups, counts, err := Load([]string{path}, Options{SkipBad: 3})
	if err != nil || len(groups) != 2 || counts.Bad != 3 || groups[1].Source.Line != 5 {
		t.Errorf("%v, %v, %v", groups, counts, err)
	}
	for text, want := range map[string]string{
		"[,{}]": "element 1: unexpected character ','", "[{},]": "element 2: unexpected character ']'",
		"[": "element 1: the array does not end", `[{"a":"]`: "element 1: the array does not end",
	} {
		if _, err := collect(Read(file(t, "b.json", []byte(text)), Options{SkipBad: 9},
			nil)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// The published sets must give exactly what a count by the data sets' own parsers gives.
func TestReadShared(t *testing.T) {
	for _, c := range []struct {
		name                             string
		read, kept, comparisons, dropped int
	}{
		{"hh/helpful-base.test.jsonl.gz", 2352, 2339, 2339, 13},
		{"hh/harmless-base.test.jsonl.gz", 2312, 2303, 2303, 9},
		{"groups/qa-feedback.jsonl.gz", 488, 488, 2616, 0},
		{"ultrafeedback/train.jsonl.gz", 994, 994, 994, 0},
		{"ultrafeedback/test.jsonl.gz", 199, 199, 199, 0},
		{"hhh/anthropic-hhh.jsonl.gz", 438, 438, 438, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, counts, err := Load([]string{shared.Path(t, "data/"+c.name)}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range counts.Lines() {
				t.Log(line)
			}
			if counts.Read != c.read || counts.Kept != c.kept || counts.Comparisons != c.comparisons ||
				counts.Read-counts.Kept != c.dropped {
				t.Errorf("want %+v", c)
			}
		})
	}
}

func FuzzRows(f *testing.F) {
	f.Add([]byte("[{},{}]"), false)
	f.Add([]byte("{}\n{}"), true)
	f.Add([]byte("\ufeff [1"), false)
	f.Add(zipped(f, []byte("{}\n{}")), true)
	f.Fuzz(func(t *testing.T, data []byte, lines bool) {
		last := 0
		for r, err := range rows(bufio.NewReader(bytes.NewReader(data)), lines, 1<<16) {
			if err == nil && (r.line <= last || len(r.data) == 0) {
				t.Fatalf("row %d of %d bytes after row %d", r.line, len(r.data), last)
			}
			last = r.line
		}
	})
}

// The files of a set are one in a mix, and rows of one prompt are joined across them.
func TestLoadSets(t *testing.T) {
	half := func(n int) string {
		return file(t, fmt.Sprint(n, ".jsonl"),
			fmt.Appendf(nil, `{"prompt":"q","response":"%d","helpfulness":%d}`, n, n))
	}
	other := file(t, "other.jsonl", []byte(strings.Join(pairRows(3), "\n")))
	sets := [][]string{{half(1), half(2)}, {other}}
	groups, counts, err := LoadSets(sets, Options{})
	if err != nil || len(groups) != 4 || counts.Joined != 1 || len(groups[0].Responses) != 2 {
		t.Errorf("%+v, %v, %v", groups, counts, err)
	}
	groups, _, err = LoadSets(sets, Options{Weights: []float64{1, 2}})
	if err != nil || len(groups) != 3 {
		t.Errorf("%d groups, %v", len(groups), err)
	}
	if _, _, err := LoadSets(sets, Options{Weights: []float64{1, 2, 3}}); err == nil ||
		!strings.Contains(err.Error(), "3 weights for 2 files") {
		t.Errorf("%v", err)
	}
}
