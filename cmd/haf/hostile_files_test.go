package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/klauspost/compress/zstd"

	"haf/internal/shared"
)

const goodRow = `{"prompt": "a", "chosen": "b", "rejected": "c"}` + "\n"

// brokenRows are rows of a JSONL file that no format has.
var brokenRows = []string{
	`{`, `[]`, `3`, `null`, `"text"`, `{"prompt": "a"}`, `{"prompt": "a", "chosen": "b"}`,
	`{"prompt": "a", "chosen": "b", "rejected": 3}`,
	`{"prompt": "a", "chosen": [], "rejected": "c"}`,
	`{"prompt": 3, "chosen": "b", "rejected": "c"}`,
	`{"prompt": {}, "chosen": "b", "rejected": "c"}`,
	`{"prompt": [1], "chosen": "b", "rejected": "c"}`,
	`{"prompt": [{"role": "user"}], "chosen": "b", "rejected": "c"}`,
	`{"prompt": [{"role": "", "content": "x"}], "chosen": "b", "rejected": "c"}`,
	`{"prompt": [{"role": "user", "content": 3}], "chosen": "b", "rejected": "c"}`,
	`{"prompt": [{"role": "user", "content": [{"type": "image"}]}], "chosen": "b",
	"rejected": "c"}`,
	`{"prompt": "a", "prompt": "b", "chosen": "b", "rejected": "c"}`,
	`{"prompt": "a", "chosen": "b", "rejected": "c", "margin": "much"}`,
	`{"prompt": "a", "chosen": "b", "rejected": "c", "margin": NaN}`,
	`{"prompt": "a", "chosen": "b", "rejected": "c", "margin": 1e999}`,
	`{"prompt": "a", "responses": ["b"], "scores": [1]}`,
	`{"prompt": "a", "responses": ["b", "c"], "scores": [1]}`,
	`{"prompt": "a", "responses": ["b", "c"], "scores": [1, "x"]}`,
	`{"prompt": "a", "responses": ["b", "c"], "scores": [1, Infinity]}`,
	`{"prompt": "a", "responses": ["b", "c"], "comparisons": [[0, 2]]}`,
	`{"prompt": "a", "responses": ["b", "c"], "comparisons": [[-1, 0]]}`,
	`{"prompt": "a", "responses": ["b", "c"], "comparisons": [[0, 0]]}`,
	`{"prompt": "a", "responses": ["b", "c"], "comparisons": [[0.5, 1]]}`,
	`{"prompt": "a", "responses": ["b", "c"], "comparisons": [[0, 18446744073709551616]]}`,
	`{"prompt": "a", "completion": "b", "label": 7}`,
	"{\"prompt\": \"\xff\", \"chosen\": \"b\", \"rejected\": \"c\"}",
	`{"prompt": "\ud800", "chosen": "b", "rejected": "c"}`,
	`{"prompt": "a` + "\x00" + `", "chosen": "b", "rejected": "c"}`,
	`{"prompt": ` + strings.Repeat("[", 100_000), strings.Repeat(`{"prompt":`, 100_000),
	`{"prompt": "a", "chosen": "b", "rejected": "c"} trailing`,
	"\xff\xfe{\x00", "PAR1", "<!DOCTYPE html><html>", "prompt,chosen,rejected",
}

// TestHostileData reads broken preference files in every container.
func TestHostileData(t *testing.T) {
	h := newHostile(t)
	for _, row := range brokenRows {
		h.data("bad.jsonl", []byte(goodRow+row+"\n"), `bad.jsonl:2: |bad.jsonl: the file is binary`)
	}
	good := bytes.Repeat([]byte(goodRow), 200)
	gz, zst := gzipped(t, good), zstandard(t, good)
	for name, data := range map[string][]byte{
		"cut.jsonl.gz": gz[:len(gz)/2], "tail.jsonl.gz": append(bytes.Clone(gz), "tail"...),
		"empty.jsonl.gz": {}, "flip.jsonl.gz": flipped(gz, len(gz)-6),
		"cut.jsonl.zst": zst[:len(zst)/2], "flip.jsonl.zst": flipped(zst, 20),
		"short.parquet": []byte("PAR1"), "empty.parquet": {},
		"footer.parquet": []byte("PAR1xxxx\xff\xff\xff\x7fPAR1"),
		"minus.parquet":  []byte("PAR1xxxx\xff\xff\xff\xffPAR1"),
		"short.arrow":    []byte("ARROW1\x00\x00"), "empty.arrow": {},
		"length.arrow": []byte("ARROW1\x00\x00\xff\xff\xff\xff\xff\xff\xff\x7f"),
		"open.json":    []byte("[" + goodRow), "deep.json": bytes.Repeat([]byte("["), 200_000),
		"empty.jsonl": {}, "blank.jsonl": []byte("\n\n\n"), "odd.txt": []byte("text"),
		"zip.zip": []byte("PK\x03\x04"), "tar.tar": make([]byte, 1024),
	} {
		h.data(name, data, name)
	}
	for _, name := range []string{"types.parquet", "types.arrow", "pyarrow.parquet"} {
		whole, err := os.ReadFile(filepath.Join(shared.Root(), "pref", "testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []int{1, 2, 3} {
			h.data("cut-"+name, whole[:len(whole)*part/4], "cut-"+name)
		}
		h.data("front-"+name, whole[len(whole)/2:], "front-"+name)
	}
	h.bombs()
	for where, want := range map[string]string{"/dev/zero": "/dev/zero: it is a device",
		".": "2 splits: name one", "nowhere.jsonl": "no nowhere.jsonl", "*.nothing": "no file matches",
		"base:split": `base has no split "split"`} {
		h.refuses(hostileCase{"where", []string{"data", where}, exitFailed, want})
	}
}

// TestHostilePipes gives a pipe that nobody writes to, a device and a socket, where a verb reads a
// file: it is refused at once, not waited for.
func TestHostilePipes(t *testing.T) {
	h := newHostile(t)
	if err := syscall.Mkfifo("pipe", 0o600); err != nil {
		t.Skip("no pipes here: ", err)
	}
	socket, err := net.Listen("unix", "socket")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	if err := os.Chmod("socket", 0o600); err != nil {
		t.Fatal(err)
	}
	h.settle()
	for _, of := range []string{"pipe", "/dev/zero", "socket"} {
		for _, args := range [][]string{
			{"data", of}, {"init", of, "base", "-out", "out"}, {"eval", "base", "-data", of},
			{"score", "base", "-in", of}, {"explain", "base", "-in", of},
			{"combine", "base", "-valid", of},
			{"relabel", "base", "-data", of, "-out", "out"},
			{"generate", "base", "-prompts", of, "-out", "out"},
			{"rank", "base", "-samples", of, "-out", "out"},
			{"judge", of, "other.jsonl", "-gold", "base", "-out", "out"},
			{"train", "tiny.toml", "-set", "data.train=" + of, "-out", "out"},
			{"train", "./" + of, "-out", "out"}, {"rlhf", "./" + of, "-out", "out"},
			{"paper", "./" + of, "-out", "out"},
			{"serve", "base", "-token-file", of}, {"serve", "base", "-tls-cert", of, "-tls-key", of},
		} {
			if of[0] == '/' && strings.HasPrefix(args[1], "./") {
				args[1] = of
			}
			code := exitFailed
			if args[0] == "serve" {
				code = exitUsage
			}
			h.refuses(hostileCase{"pipe", args, code,
				"is a (pipe|device|socket), want a file|everybody may read or change /dev/zero"})
		}
	}
}

// data has haf data and haf eval refuse a file.
func (h *hostile) data(name string, data []byte, want string) {
	h.t.Helper()
	h.write(name, data)
	h.settle()
	h.refuses(hostileCase{"data", []string{"data", name}, exitFailed, want})
	h.refuses(hostileCase{"eval", []string{"eval", "base", "-data", name}, exitFailed, want})
	h.remove(name)
}

// bombs are small files that unpack to 4 GB: one row, and rows without end.
func (h *hostile) bombs() {
	h.t.Helper()
	row := append([]byte(`{"prompt": "`), bytes.Repeat([]byte("a"), 64<<20)...)
	const want = `line 1: longer than`
	h.data("row.jsonl.gz", bytes.Repeat(gzipped(h.t, row), 64), want)
	h.data("row.jsonl.zst", bytes.Repeat(zstandard(h.t, row), 64), want)
}

func gzipped(t *testing.T, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zstandard(t *testing.T, data []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(data, nil)
}

func flipped(data []byte, at int) []byte {
	out := bytes.Clone(data)
	out[at] ^= 0x55
	return out
}

// endless are chat templates that would take time or memory without end, or reach for what is not
// theirs.
var endless = []string{
	`{% for i in range(10000000000) %}{{ i }}{% endfor %}`,
	`{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}`,
	`{{ "a" * 10000000000 }}`, `{{ [1] * 10000000000 }}`, `{{ 10 ** 10 ** 10 }}`,
	`{{ range(1000000000000000000) | list }}`, `{{ "a" | center(10000000000) }}`,
	`{{ "%10000000000d" % 1 }}`, `{{ "{:10000000000}".format(1) }}`,
	`{% set ns = namespace(x="aaaaaaaaaa") %}{% for i in range(64) %}{% set ns.x = ns.x ~ ns.x %}` +
		`{% endfor %}{{ ns.x }}`,
	`{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}`,
	`{% macro f(n) %}{{ f(n) }}{{ f(n) }}{% endmacro %}{{ f(0) }}`,
	`{% set l = [1] %}{% for i in l %}{% set _ = l.append(i) %}{% endfor %}`,
	`{{ ("a" * 100000) | replace("a", "b" * 100000) }}`, `{{ ("ab" * 1000000) | indent(1000000) }}`,
	`{% include "/etc/passwd" %}`, `{% import "os" as os %}`, `{% extends "x" %}`,
	`{{ "".__class__.__mro__[1].__subclasses__() }}`, `{{ cycler.__init__.__globals__ }}`,
	`{{ self._TemplateReference__context }}`, `{{ messages.__class__ }}`,
	`{{ open("/etc/passwd") }}`,
	`{{`, `{% if %}`, `{% for %}`, `{% endfor %}`, strings.Repeat("{% if true %}", 100_000),
	`{{ ` + strings.Repeat("(", 100_000), `{{ ` + strings.Repeat("-", 100_000) + "1 }}",
	`{{ ` + strings.Repeat("[", 100_000), "\xff\xfe", "{{ \x00 }}", `{{ raise_exception("no") }}`,
	`{{ nowhere.a.b }}`, `{{ 1 / 0 }}`, `{{ [][5].x }}`, `{{ "a" + 1 }}`,
}

// TestHostileTemplates renders chat templates that a model or a user may bring.
func TestHostileTemplates(t *testing.T) {
	h := newHostile(t)
	for i, source := range endless {
		name := fmt.Sprintf("bad%d.jinja", i)
		h.write(name, []byte(source))
		h.settle()
		h.refuses(hostileCase{"template " + source[:min(40, len(source))], []string{"score", "base",
			"-prompt", "a", "-response", "b", "-template", name}, exitFailed, "template"})
		h.remove(name)
	}
}

// TestHostilePatterns encodes by tokenizers whose regular expressions take exponential time
// elsewhere. They may work, but not for long.
func TestHostilePatterns(t *testing.T) {
	h := newHostile(t)
	var file map[string]any
	if err := json.Unmarshal(readFile(t, "base/tokenizer.json"), &file); err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{`(a+)+$`, `(a|aa)+$`, `(.*a){25}$`, `(a*)*b`, `(?=(a+)+$)`,
		`(a+)+\1$`, `^(([a-z])+.)+[A-Z]([a-z])+$`, `(?<=a{1,1000})b`, `(`, `[`, `a{1000000}`,
		`\p{Nope}`,
		`(?P<n>a)(?P=m)`, strings.Repeat("(", 10_000)} {
		for _, part := range []string{"pre_tokenizer", "normalizer"} {
			broken := map[string]any{}
			for key, value := range file {
				broken[key] = value
			}
			broken[part] = map[string]any{"type": "Split", "behavior": "Isolated", "invert": false,
				"pattern": map[string]any{"Regex": pattern}}
			if part == "normalizer" {
				broken[part] = map[string]any{"type": "Replace", "content": "b",
					"pattern": map[string]any{"Regex": pattern}}
			}
			data, err := json.Marshal(broken)
			if err != nil {
				t.Fatal(err)
			}
			h.model("base", "tokenizer.json", data)
			text := strings.Repeat("a", 14) + "!"
			if pattern == `(a+)+$` && part == "normalizer" {
				text = strings.Repeat("a", 50_000) + "!"
			}
			h.ends(hostileCase{part + " " + pattern[:min(30, len(pattern))], []string{"score", "m",
				"-prompt", text, "-response", "b", "-max-length", "16"}, exitFailed, "tokenizer"})
		}
	}
}
