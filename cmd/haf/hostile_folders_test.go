package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"haf/recipe"
	"haf/ui"
)

// trained makes a run with an adapter, and its results, in the folder run.
func (h *hostile) trained() {
	h.t.Helper()
	for _, args := range [][]string{
		{"train", "tiny.toml", "-out", "run", "-set", "lora.rank=2"},
		{"eval", "run", "-data", "test.jsonl", "-out", "run/pairs.jsonl"},
	} {
		var stdout, stderr bytes.Buffer
		if code := execute(append([]string{"-json"}, args...), &stdout, &stderr); code != exitDone {
			h.t.Fatalf("%v: %s", args, stderr.Bytes())
		}
		if args[0] == "eval" {
			h.write("run/eval.json", stdout.Bytes())
		}
	}
	h.settle()
}

// brokenValues are JSON values that no key of a settings file has, or that are out of any range.
var brokenValues = []string{`"text"`, `-1`, `1e300`, `[1]`, `{"a": [1]}`, `[[[]]]`, `true`, `null`,
	`"\ud800"`, "\"\xff\"", `1e999`, strings.Repeat("[", 50_000)}

// withKey is a JSON object with another value of one key.
func withKey(t *testing.T, good []byte, key, value string) []byte {
	t.Helper()
	var object map[string]json.RawMessage
	if err := json.Unmarshal(good, &object); err != nil {
		t.Fatal(err)
	}
	delete(object, key)
	data, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	name, err := json.Marshal(key)
	if err != nil {
		t.Fatal(err)
	}
	head := append([]byte("{"), name...)
	head = append(append(append(head, ": "...), value...), ", "...)
	return append(head, data[1:]...)
}

func keysOf(t *testing.T, object []byte) map[string]json.RawMessage {
	t.Helper()
	out := map[string]json.RawMessage{}
	if err := json.Unmarshal(object, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestHostileAdapters opens adapters in which adapter_config.json, haf.json or the weights are
// broken, as haf saves them and as PEFT does.
func TestHostileAdapters(t *testing.T) {
	long(t)
	h := newHostile(t)
	h.trained()
	h.remove("a")
	if err := os.Rename("run/model", "a"); err != nil {
		t.Fatal(err)
	}
	h.remove("run")
	score := []string{"score", "m", "-prompt", "what does the fox eat", "-response", "mice"}
	for _, name := range []string{"adapter_config.json", "haf.json"} {
		good := readFile(t, filepath.Join("a", name))
		for _, b := range brokenJSON {
			h.model("a", name, b.of(good))
			h.refuses(hostileCase{name + " " + b.name, score, exitFailed, name})
		}
		h.odd("a", name, score)
		for i, key := range slices.Sorted(maps.Keys(keysOf(t, good))) {
			for j, value := range brokenValues {
				if (i+j)%3 != 0 { // a third of the values for each key: a case takes 50 ms
					continue
				}
				h.model("a", name, withKey(t, good, key, value))
				// some are read by nobody here, and some values are what a key may have
				h.ends(hostileCase{fmt.Sprintf("%s %s %.20s", name, key, value), score, exitFailed,
					name + "|" + key + "|adapter|base|damaged"})
			}
		}
	}
	own := readFile(t, "a/haf.json")
	var meta map[string]any
	if err := json.Unmarshal(own, &meta); err != nil {
		t.Fatal(err)
	}
	delete(meta, "weights_crc32c") // else haf refuses the checksum first
	unsummed, err := json.Marshal(meta)
	if err != nil {
		t.Fatal(err)
	}
	h.write("a/haf.json", unsummed)
	good := readFile(t, "a/adapter_model.safetensors")
	for _, b := range brokenWeights {
		h.model("a", "adapter_model.safetensors", b.of(good))
		h.refuses(hostileCase{"adapter " + b.name, score, exitFailed, "adapter_model.safetensors"})
	}
	h.odd("a", "adapter_model.safetensors", score)
	// names and shapes that the base does not have, with values that are whole
	for name, from := range map[string]string{
		"name": "lora_A", "rank": `"shape":[2,`, "order": "lora_B", "dtype": `"F32"`} {
		to := strings.Repeat("9", len(from))
		switch name {
		case "rank":
			to = `"shape":[1,`
		case "dtype":
			to = `"I32"`
		}
		h.model("a", "adapter_model.safetensors", bytes.Replace(good, []byte(from), []byte(to), 1))
		h.refuses(hostileCase{"adapter " + name, score, exitFailed, "adapter|lora|tensor"})
	}
}

// TestHostileScores reads rewards from files that are no such files.
func TestHostileScores(t *testing.T) {
	h := newHostile(t)
	h.write("ids.jsonl", []byte(`{"id": "a", "prompt": "p", "chosen": "b", "rejected": "c"}`+"\n"))
	for i, rows := range []string{
		``, `{`, `[]`, `3`, `null`, `{}`, `{"id": "a"}`, `{"reward": "high"}`, `{"rewards": [1, "x"]}`,
		`{"rewards": {}}`, `{"rewards": []}`, `{"rewards": [1]}`, `{"rewards": [1, 2, 3]}`,
		`{"id": "a", "rewards": [1, NaN]}`, `{"id": "a", "rewards": [1, 1e999]}`,
		`{"id": "a", "rewards": [1, null]}`, `{"id": "b", "rewards": [1, 2]}`,
		`{"id": {}, "rewards": [1, 2]}`, `{"id": ["a"], "rewards": [1, 2]}`,
		"{\"id\": \"a\", \"rewards\": [1, 2]}\n{\"id\": \"a\", \"rewards\": [1, 2]}",
		"{\"id\": \"a\", \"rewards\": [1, 2]}\n{\"rewards\": [1, 2]}",
		"{\"id\": \"a\", \"id\": \"a\", \"rewards\": [1, 2]}",
		`{"prompt": "p", "response": "b", "reward": 1}`,
		`{"prompt": "p", "responses": ["b", "c"], "rewards": [1]}`,
		`{"prompt": "p", "responses": ["b", "b", "c"], "rewards": [1, 2, 3]}`,
		`{"prompt": 3, "response": "b", "reward": 1}`, `{"prompt": [3], "response": "b", "reward": 1}`,
		`{"id": "\ud800", "rewards": [1, 2]}`, "{\"id\": \"\xff\", \"rewards\": [1, 2]}",
		`{"id": "a", "rewards": ` + strings.Repeat("[", 100_000),
		`{"id": ` + strings.Repeat(`{"id":`, 100_000), "\x00\x00\x00\x00", "PAR1", "reward\n1\n",
	} {
		h.write("scores.jsonl", []byte(rows+"\n"))
		h.settle()
		h.refuses(hostileCase{fmt.Sprintf("scores %d %.40s", i, rows), []string{"eval",
			"scores:scores.jsonl", "-data", "ids.jsonl"}, exitFailed, "scores.jsonl"})
	}
}

// TestHostileRewardTables gives every key of a table rlhf.rewards what it cannot be, and the tables
// other forms.
func TestHostileRewardTables(t *testing.T) {
	h := newHostile(t)
	head, _, found := bytes.Cut(readFile(t, "rl.toml"), []byte("[[rlhf.rewards]]"))
	if !found {
		t.Fatal("rl.toml has no table rlhf.rewards")
	}
	refused := func(name, table string) {
		h.write("bad.toml", append(bytes.Clone(head), table...))
		h.settle()
		h.refuses(hostileCase{"rewards " + name, []string{"rlhf", "bad.toml", "-out", "out"}, exitFailed,
			`rewards|bad\.toml`})
	}
	field, ok := reflect.TypeFor[recipe.RLHF]().FieldByName("Rewards")
	if !ok {
		t.Fatal("recipe.RLHF has no Rewards")
	}
	recipeKeys("", field.Type.Elem(), func(key string, f reflect.StructField) {
		start := "\n[[rlhf.rewards]]\n"
		if key != "source" {
			start += "source = \"base\"\n"
		}
		values := append(outOfRange(f.Type), wrongTOML(f.Type), "[[1]]", "{ a = { b = 1 } }")
		for _, value := range values {
			refused(key+" "+value, start+key+" = "+value+"\n")
		}
		refused(key+" twice", start+key+" = "+wrongTOML(f.Type)+"\n"+key+" = 1\n")
		refused(key+"x", start+key+"x = 1\n")
	})
	for name, table := range map[string]string{
		"none": "", "empty": "\n[[rlhf.rewards]]\n", "one table": "\n[rlhf.rewards]\nsource = \"base\"\n",
		"deep": "\n[[rlhf.rewards]]\nsource = " + strings.Repeat("[", 50_000),
		"deep table": "\n[[rlhf.rewards]]\nsource = \"base\"\nx = " +
			strings.Repeat("{a = ", 10_000),
		"nested":       "\n[[rlhf.rewards]]\nsource = \"base\"\n[[rlhf.rewards.rewards]]\nname = \"a\"\n",
		"two names":    strings.Repeat("\n[[rlhf.rewards]]\nsource = \"base\"\nname = \"a\"\n", 2),
		"empty source": "\n[[rlhf.rewards]]\nsource = \"\"\n",
		"nowhere":      "\n[[rlhf.rewards]]\nsource = \"nowhere/at/all\"\n",
		"not UTF-8":    "\n[[rlhf.rewards]]\nsource = \"\xff\"\n",
		"NUL":          "\n[[rlhf.rewards]]\nsource = \"a\\u0000b\"\n",
		"many":         strings.Repeat("\n[[rlhf.rewards]]\nsource = \"nowhere/at/all\"\n", 20_000),
	} {
		refused(name, table)
	}
}

// put breaks a file in a folder in every way: other text, other kinds of files.
func put(t *testing.T, path string, how string) {
	t.Helper()
	var err error
	switch how {
	case "missing":
	case "folder":
		err = os.Mkdir(path, 0o755)
	case "pipe":
		err = syscall.Mkfifo(path, 0o644)
	case "nothing":
		err = os.Symlink("nowhere", path)
	case "loop":
		err = os.Symlink(filepath.Base(path), path)
	case "device":
		err = os.Symlink("/dev/zero", path)
	case "elsewhere":
		err = os.Symlink("/etc/passwd", path)
	case "huge":
		if err = os.WriteFile(path, []byte("{"), 0o644); err == nil {
			err = os.Truncate(path, 8<<30) // sparse
		}
	default:
		err = os.WriteFile(path, []byte(how), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestHostileRuns breaks the files of a run folder one after the other. haf report, doctor, inspect
// and track refuse the folder or say what they leave out, and every page of haf ui is answered.
func TestHostileRuns(t *testing.T) {
	long(t)
	h := newHostile(t)
	h.trained()
	ways := []string{"missing", "folder", "pipe", "nothing", "loop", "device", "elsewhere", "huge"}
	for _, b := range brokenJSON {
		if b.name != "half" && b.name != "twice" && b.name != "tail" {
			ways = append(ways, string(b.of(nil)))
		}
	}
	ways = append(ways, `{"format": 5}`, `{"format": "new"}`, "{\"kind\": \"\\ud800\"}",
		`{"kind": "step"}`, `{"kind": "step", "step": "one", "loss": []}`,
		`{"kind": "step", "step": 1e300, "loss": -1e308}`, `{"kind": "eval", "step": 1}`,
		`{"kind":"step","step":1,"loss":`+strings.Repeat("9", 100_000)+`}`,
		`{"rewards": {"score": null}}`, `{"rewards": {"score": {"accuracy": "high"}}}`,
		`{"recipe": {"model": 3}}`, `{"recipe": null, "versions": []}`)
	readers := map[string][][]string{ // the verbs that read a file
		"manifest.json":  {{"report", "m", "-out", "page"}, {"doctor", "m"}, {"inspect", "m"}},
		"metrics.jsonl":  {{"report", "m", "-out", "page"}, {"track", "m", "-to", "tensorboard"}},
		"eval.json":      {{"report", "m", "-out", "page"}},
		"pairs.jsonl":    {{"report", "m", "-out", "page"}},
		"SHA256SUMS":     {{"report", "m", "-out", "page"}, {"doctor", "m"}},
		"tracking.json":  {{"track", "m", "-to", "tensorboard"}},
		"model/haf.json": {{"report", "m", "-out", "page"}, {"doctor", "m"}, {"inspect", "m"}},
	}
	for name, verbs := range readers {
		for _, how := range ways {
			h.remove("m")
			if err := os.CopyFS("m", os.DirFS("run")); err != nil {
				t.Fatal(err)
			}
			h.remove("m/SHA256SUMS") // else it is its sum that is refused
			h.remove(filepath.Join("m", name))
			put(t, filepath.Join("m", name), how)
			h.settle()
			what := fmt.Sprintf("%s %.30q", name, how)
			for _, args := range verbs {
				h.mayEnd(what, args)
			}
			h.pages(what, name)
		}
	}
}

// mayEnd runs a verb that may succeed, or leave its output; it must end well.
func (h *hostile) mayEnd(name string, args []string) {
	h.t.Helper()
	code := exitFailed
	if args[0] == "doctor" {
		code = exitGate
	}
	out := "page"
	if args[0] == "track" {
		out = "m/tensorboard"
	}
	h.leaves = out
	h.ends(hostileCase{name, args, code, ""})
	h.leaves = ""
}

// What a page of a broken run must say, and what it must not.
var (
	explainedPage = regexp.MustCompile(`m/(manifest\.json|metrics\.jsonl|SHA256SUMS|pairs\.jsonl)`)
	badPage       = regexp.MustCompile(`panic|goroutine|runtime error|interface conversion|%!|` +
		`root:x:0`)
)

// pages asks haf ui for the pages of the run m that a broken file is part of: each says what is
// wrong with it, none takes much, or shows a panic or what a link leads to.
func (h *hostile) pages(name, file string) {
	h.t.Helper()
	app := ui.New(ui.Config{Runs: []string{"m"}})
	paths := []string{"/", "/runs?run=m", "/api/series?run=m"}
	switch file {
	case "pairs.jsonl":
		paths = []string{"/", "/pairs?run=m&file=pairs.jsonl"}
	case "eval.json":
		paths = []string{"/evaluations", "/runs?run=m"}
	}
	for _, path := range paths {
		h.cases++
		r, w := httptest.NewRequest("GET", "http://localhost"+path, nil), httptest.NewRecorder()
		var begin, end runtime.MemStats
		runtime.ReadMemStats(&begin)
		ended := make(chan any, 1)
		go func() {
			defer func() { ended <- recover() }()
			app.ServeHTTP(w, r)
		}()
		select {
		case p := <-ended:
			if p != nil {
				h.t.Errorf("%s: %s panics: %v", name, path, p)
			}
		case <-time.After(hostileTime):
			h.t.Fatalf("%s: %s does not end", name, path)
		}
		runtime.ReadMemStats(&end)
		body, err := io.ReadAll(w.Body)
		if err != nil {
			h.t.Fatal(err)
		}
		if w.Code >= 500 && !explainedPage.Match(body) || len(body) > 4<<20 || badPage.Match(body) {
			h.t.Errorf("%s: %s is answered %d: %.600s", name, path, w.Code, body)
		}
		if took := end.TotalAlloc - begin.TotalAlloc; took > hostileBytes {
			h.t.Errorf("%s: %s: %d MB were allocated", name, path, took>>20)
		}
	}
}
