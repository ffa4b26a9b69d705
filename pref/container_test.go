package pref

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/klauspost/compress/zstd"
)

// testdata/containers and the rows of expected.json were written by the library datasets and by
// pyarrow: testdata/containers.py.
func TestContainersAsDatasets(t *testing.T) {
	dir := filepath.Join("testdata", "containers")
	data, err := os.ReadFile(filepath.Join(dir, "expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	var expected map[string][]any
	if err := json.Unmarshal(data, &expected); err != nil || len(expected) < 10 {
		t.Fatalf("%d containers, %v", len(expected), err)
	}
	for name, want := range expected {
		var got []any
		for r, err := range fileRows(filepath.Join(dir, filepath.FromSlash(name))) {
			if err != nil {
				t.Errorf("%s: %v", name, err)
				break
			}
			var v any
			finite := strings.NewReplacer(":NaN", ":null", ":Infinity", ":null").Replace(string(r.data))
			if err := json.Unmarshal([]byte(finite), &v); err != nil {
				t.Fatalf("%s: %v: %s", name, err, r.data)
			}
			got = append(got, v)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %d rows, want %d\n%v\n%v", name, len(got), len(want), got, want)
		}
	}
}

// Rows of a folder are named by their shard, and rows of one prompt are joined across shards.
func TestShards(t *testing.T) {
	dir := t.TempDir()
	half := func(i int) string {
		return fmt.Sprintf(`{"prompt":"q","response":"answer %d","helpfulness":%d}`, i, i) + "\n"
	}
	for name, text := range map[string]string{"b.jsonl": half(2), "a.jsonl": half(0) + half(1),
		"deep/c.jsonl": pairRows(1)[0]} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if os.MkdirAll(filepath.Dir(path), 0o755) != nil ||
			os.WriteFile(path, []byte(text), 0o644) != nil {
			t.Fatal("no folder")
		}
	}
	for path, want := range map[string]string{
		dir:                              "a.jsonl:1 deep/c.jsonl:1",
		dir + ":train":                   "a.jsonl:1 deep/c.jsonl:1",
		filepath.Join(dir, "*.jsonl"):    "a.jsonl:1",
		filepath.Join(dir, "**/*.jsonl"): "a.jsonl:1 deep/c.jsonl:1",
		filepath.Join(dir, "[c-d]*/?.*"): "deep/c.jsonl:1",
		filepath.Join(dir, "deep"):       "deep/c.jsonl:1",
	} {
		groups, counts, err := Load([]string{path}, Options{})
		var at []string
		for _, g := range groups {
			name, _ := filepath.Rel(dir, g.Source.File)
			at = append(at, fmt.Sprintf("%s:%d", filepath.ToSlash(name), g.Source.Line))
		}
		if got := strings.Join(at, " "); got != want || err != nil {
			t.Errorf("%s: %s, %v, %v; want %s", path, got, counts, err, want)
		}
	}
	groups, _, err := Load([]string{dir}, Options{})
	if err != nil || len(groups[0].Responses) != 3 {
		t.Errorf("%+v, %v: want the three responses in one group", groups, err)
	}
	if prompts, _, err := LoadPrompts([]string{dir}, Options{}); err != nil || len(prompts) != 2 {
		t.Errorf("%d prompts, %v", len(prompts), err)
	}
	samples, err := collect(ReadSamples(filepath.Join(dir, "[ab].jsonl"), Options{}))
	if err != nil || len(samples) != 3 || samples[2].Response != "answer 2" {
		t.Errorf("%+v, %v", samples, err)
	}
}

func TestShardErrors(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) string {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if os.MkdirAll(filepath.Dir(path), 0o755) != nil ||
			os.WriteFile(path, []byte(text), 0o644) != nil {
			t.Fatal("no folder")
		}
		return path
	}
	put("two/train.jsonl", "{}")
	put("two/test.jsonl", "{}")
	put("up/state.json", `{"_data_files":[{"filename":"../two/train.jsonl"}]}`)
	put("gone/state.json", `{"_data_files":[{"filename":"data-00000-of-00001.arrow"}]}`)
	put("none/state.json", `{"_data_files":[]}`)
	put("bad/state.json", `{`)
	put("index/state.json",
		`{"_data_files":[{"filename":"a.arrow"}],"_indices_data_files":[{"filename":"i.arrow"}]}`)
	put("dict/dataset_dict.json", `{"splits":["a","b","../up"]}`)
	put("config/README.md", "---\nconfigs:\n- config_name: x\n  data_files: a.jsonl\n- config_name: "+
		"y\n  data_files: ../two/train.jsonl\n---\n")
	put("config/a.jsonl", "{}")
	column, err := os.ReadFile(filepath.Join("testdata", "containers", "types.arrow"))
	if err != nil {
		t.Fatal(err)
	}
	put("column/data.arrow", string(column))
	put("column/state.json",
		`{"_data_files":[{"filename":"data.arrow"}],"_format_columns":["prompt","other"]}`)
	for path, want := range map[string]string{
		"two":           "has 2 splits: name one of " + dir + "/two:train, " + dir + "/two:test",
		"two:dev":       `has no split "dev": there are`,
		"nothing":       "no such file or directory",
		"nothing:x":     "no such file or directory",
		"two/*.parquet": "no file matches the pattern",
		"two/[":         "syntax error in pattern",
		"up":            `state.json names "../two/train.jsonl", which is outside the folder`,
		"gone":          "gone/data-00000-of-00001.arrow: no such file or directory",
		"none":          "state.json names no file in _data_files",
		"bad":           "bad/state.json: not JSON: at byte 1",
		"index":         "the rows are chosen by an index",
		"up:train":      "without splits: leave out",
		"dict":          "has 3 splits: name one of " + dir + "/dict:a",
		"dict:c":        `has no split "c"`,
		"dict:../up":    `has no split "../up"`,
		"config": "has several configurations and no default: name one of " + dir +
			"/config:x/train",
		"config:y":        `"../two/train.jsonl" is no path inside the data set`,
		"column":          `state.json names the column "other", which the file lacks`,
		"two/train.jsonl": "keys no key at all fit no form",
	} {
		_, _, err := Load([]string{dir + "/" + path}, Options{})
		if err == nil || !strings.Contains(err.Error(), want) ||
			!strings.HasPrefix(err.Error(), "pref: ") {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

// What haf does not read is named, with what it reads.
func TestUnknownContainers(t *testing.T) {
	tar := make([]byte, 512)
	copy(tar[257:], "ustar")
	parquet := parquetFile(t, 3)
	for _, c := range []struct{ name, content, want string }{
		{"a.zip", "PK\x03\x04rest", "the file is a ZIP archive"},
		{"a.jsonl.xz", "\xfd7zXZ\x00", "the file is an xz file"},
		{"a.jsonl.bz2", "BZh9", "the file is a bzip2 file"},
		{"a.tar", string(tar), "the file is a tar archive"},
		{"a.tar.gz", string(zipped(t, tar)), "the file is a tar archive"},
		{"a.pkl", "\x80\x04\x95", "the file is a Python pickle"},
		{"a.npy", "\x93NUMPY\x01", "the file is a NumPy array"},
		{"a.bin", "\x01\x02\x00\x03", "the file is binary (its first bytes are 01 02 00 03)"},
		{"a.csv", "prompt,chosen,rejected\n", "the file is CSV"},
		{"a.tsv.gz", string(zipped(t, []byte("prompt\tchosen\n"))), "the file is CSV with tabs"},
		{"a.txt", "Hello", "the file is plain text"},
		{"a.parquet", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
			"the file is a Git LFS pointer"},
		{"a.parquet.gz", string(zipped(t, parquet)), "Parquet inside gzip"},
		{"a.jsonl.gz.gz", string(zipped(t, zipped(t, []byte("{}")))), "gzip inside gzip"},
	} {
		_, _, err := Load([]string{file(t, c.name, []byte(c.content))}, Options{})
		if err == nil || !strings.Contains(err.Error(), c.want) ||
			!strings.Contains(err.Error(), "want JSON lines (.jsonl), a JSON array (.json), Parquet") {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	// A name alone decides nothing.
	if groups, _, err := Load([]string{file(t, "a.csv", []byte(pairRows(1)[0]))},
		Options{}); err != nil || len(groups) != 1 {
		t.Errorf("JSON lines named .csv: %v", err)
	}
}

func zstandard(t testing.TB, text []byte, opt ...zstd.EOption) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil, opt...)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(text, nil)
}

func TestZstandard(t *testing.T) {
	text := []byte(strings.Join(pairRows(2000), "\n"))
	whole := zstandard(t, text)
	for name, content := range map[string][]byte{"a.jsonl.zst": whole,
		"a.json.zst": zstandard(t, []byte("["+strings.Join(pairRows(2000), ",")+"]"))} {
		if groups, _, err := Load([]string{file(t, name, content)}, Options{}); err != nil ||
			len(groups) != 2000 {
			t.Errorf("%s: %d groups, %v", name, len(groups), err)
		}
	}
	broken := slices.Clone(whole)
	broken[len(broken)-1] ^= 1 // the checksum
	// A frame that asks for a window of 512 MB, with one block of two bytes.
	window := "\x28\xb5\x2f\xfd\x00\x98" + "\x11\x00\x00{}"
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"cut.jsonl.zst": {whole[:len(whole)/2], "truncated zstd, want a whole file"},
		"head.zst":      {whole[:6], "truncated zstd"},
		"sum.zst": {
			broken, "damaged zstd, want a whole file: fetch it again: CRC check failed"},
		"tail.zst":         {append(slices.Clone(whole), "more"...), "zstd, want a whole file"},
		"window.jsonl.zst": {[]byte(window), "a window of more than 134217728 bytes"},
	} {
		if _, _, err := Load([]string{file(t, name, c.content)}, Options{}); err == nil ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// A compressed file without proportion ends, and takes little memory until then.
func TestBombs(t *testing.T) {
	blank := bytes.Repeat([]byte("\n"), 64<<20)
	bomb := zstandard(t, blank)
	text, done, err := uncompressed(bytes.NewReader(bomb), kindZstd)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	text.(*expanded).free = 1 << 20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err = textRows(bufio.NewReader(text), "a.jsonl", func(row) bool { return true })
	runtime.ReadMemStats(&after)
	if err == nil || !strings.Contains(err.Error(), "over 1000 times as many") {
		t.Errorf("%d bytes for %d: %v", len(blank), len(bomb), err)
	}
	if taken := after.TotalAlloc - before.TotalAlloc; taken > 32<<20 {
		t.Errorf("%d bytes of memory taken", taken)
	}
	// A line without an end is bounded by the row.
	long := zstandard(t, append([]byte(`{"prompt":"`), bytes.Repeat([]byte("x"), maxRow)...))
	if _, _, err := Load([]string{file(t, "a.jsonl.zst", long)}, Options{}); err == nil ||
		!strings.Contains(err.Error(), "longer than") {
		t.Errorf("a long line: %v", err)
	}
}

// arrowStream writes rows of one text column, in batches of at most n rows.
func arrowStream(t testing.TB, rows, n int, opt ...ipc.Option) []byte {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{{Name: "prompt", Type: arrow.BinaryTypes.String},
		{Name: "chosen", Type: arrow.BinaryTypes.LargeString},
		{Name: "rejected", Type: arrow.BinaryTypes.String}}, nil)
	var b bytes.Buffer
	w := ipc.NewWriter(&b, append(opt, ipc.WithSchema(schema))...)
	for from := 0; from < rows; from += n {
		build := array.NewRecordBuilder(memory.DefaultAllocator, schema)
		for i := from; i < min(rows, from+n); i++ {
			build.Field(0).(*array.StringBuilder).Append(fmt.Sprint("prompt ", i))
			build.Field(1).(*array.LargeStringBuilder).Append("good")
			build.Field(2).(*array.StringBuilder).Append("bad")
		}
		if err := w.Write(build.NewRecordBatch()); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestArrow(t *testing.T) {
	path := file(t, "a.arrow", arrowStream(t, 130, 50))
	groups, counts, err := Load([]string{path}, Options{})
	if err != nil || len(groups) != 130 || counts.Read != 130 {
		t.Fatalf("%d groups, %v, %v", len(groups), counts, err)
	}
	for i, g := range groups {
		if want := NewPair(user(fmt.Sprint("prompt ", i)), "good", "bad",
			Location{path, i + 1}); !reflect.DeepEqual(g, want) {
			t.Fatalf("%+v, want %+v", g, want)
		}
	}
}

func TestArrowErrors(t *testing.T) {
	whole := arrowStream(t, 130, 50)
	one := arrowStream(t, 50, 50)
	lying := slices.Clone(whole)
	copy(lying[4:], "\xff\xff\xff\x7f") // a schema of 2 GB
	bomb := arrowStream(t, 50, 50, ipc.WithZstd())
	at := bytes.LastIndex(bomb, []byte("\x28\xb5\x2f\xfd")) - 8
	copy(bomb[at:], "\x00\x00\x00\x00\x00\x01\x00\x00") // a column of 1 TB
	twice := arrow.NewSchema([]arrow.Field{{Name: "a", Type: arrow.Null},
		{Name: "a", Type: arrow.Null}}, nil)
	var double bytes.Buffer
	if err := ipc.NewWriter(&double, ipc.WithSchema(twice)).Close(); err != nil {
		t.Fatal(err)
	}
	found := func(name string) []byte { // by FuzzContainers
		data, err := os.ReadFile(filepath.Join("testdata", "containers", name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"metadata": {found("metadata.arrow"), "a list of"},
		"views":    {found("views.arrow"), "counts of buffers for"},
		"cut":      {whole[:len(whole)/2], "truncated Arrow, want a whole file"},
		"unended":  {one[:len(one)-8], "after row 50: truncated Arrow"},
		"schema":   {whole[:20], "truncated Arrow"},
		"lying":    {lying, "a message's description of 2147483647 bytes"},
		"bomb":     {bomb, "a record batch of more than 1073741824 bytes"},
		"head":     {[]byte("ARROW1"), "truncated Arrow"},
		"twice":    {double.Bytes(), `two columns are named "a"`},
	} {
		if _, _, err := Load([]string{file(t, name+".arrow", c.content)}, Options{}); err == nil ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// Text that is no UTF-8 is a bad row of its file, not an error of the file.
func TestTableText(t *testing.T) {
	for text, want := range map[string]string{"a\"\\\n\x00é☀": `"a\"\\\u000a\u0000é☀"`, "": `""`,
		"\xff": "\"\xff\""} {
		if got := string(appendQuoted(nil, text)); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	_, counts, err := Load([]string{file(t, "a.parquet", parquetText(t, "good", "b\xffd", "good"))},
		Options{SkipBad: 1})
	if err != nil || counts.Bad != 1 || counts.Read != 3 {
		t.Errorf("%v, %v", counts, err)
	}
}

func FuzzContainers(f *testing.F) {
	f.Add(arrowStream(f, 3, 2))
	f.Add(arrowStream(f, 3, 2, ipc.WithZstd()))
	f.Add(zstandard(f, []byte(pairRows(1)[0])))
	for _, name := range []string{"types.arrow", "types-file.arrow", "types.arrow.zst",
		"metadata.arrow", "views.arrow",
		"saved/data-00001-of-00002.arrow"} {
		if data, err := os.ReadFile(filepath.Join("testdata", "containers", name)); err == nil {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		n := 0
		_ = streamRows(bufio.NewReader(bytes.NewReader(data)), shard{path: "a"}, int64(len(data)),
			func(r row) bool {
				n++
				_, _, _ = decodeRow(r.data, Options{}) // no panic, whatever it holds
				return n < 1000
			})
	})
}

// Reading a long file takes the memory of a part of it.
func TestStreamed(t *testing.T) {
	path := file(t, "a.arrow", arrowStream(t, 200_000, 1000))
	var before, during runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	n, most := 0, uint64(0)
	for _, err := range fileRows(path) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n%50_000 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&during)
			most = max(most, during.HeapAlloc)
		}
	}
	if n != 200_000 || most > before.HeapAlloc+4<<20 {
		t.Errorf("%d rows; %d bytes in use, %d before", n, most, before.HeapAlloc)
	}
}
