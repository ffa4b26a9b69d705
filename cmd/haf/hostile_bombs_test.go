package main

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"haf/internal/shared"
)

// bombHeap bounds the memory that is in use while a small file is refused that asks for more.
const bombHeap = 1 << 30

// peak runs f and returns the most heap memory that was in use meanwhile beside what was before.
func peak(f func()) uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	read := func() uint64 {
		metrics.Read(sample)
		return sample[0].Value.Uint64()
	}
	before, most := read(), uint64(0)
	done, ended := make(chan bool), make(chan bool)
	go func() {
		defer close(ended)
		for {
			most = max(most, read())
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	f()
	close(done)
	<-ended
	return most - min(most, before)
}

// bomb has a verb read a file that asks for far more than it has. It may end well where mayWork.
func (h *hostile) bomb(name string, args []string, want string, mayWork bool) {
	h.t.Helper()
	h.settle()
	took := peak(func() { h.run(hostileCase{name, args, exitFailed, want}, mayWork) })
	h.most = max(h.most, took)
	if took > bombHeap {
		h.t.Errorf("%s: %d MB of heap were in use, at most %d are allowed", name, took>>20, bombHeap>>20)
	}
}

// wide is a row of a Parquet file; its columns have a dictionary, so that a value that many rows
// have is stored once.
type wide struct {
	Prompt   string `parquet:"prompt,dict"`
	Chosen   string `parquet:"chosen,dict"`
	Rejected string `parquet:"rejected,dict"`
}

func parquetOf(t *testing.T, rows []wide) []byte {
	t.Helper()
	var out bytes.Buffer
	w := parquet.NewGenericWriter[wide](&out, parquet.Compression(&parquet.Zstd))
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestHostileBombs reads small data files that unpack to gigabytes or state sizes that they do not
// have.
func TestHostileBombs(t *testing.T) {
	long(t)
	h := newHostile(t)
	read := func(name string, data []byte, want string, mayWork bool) {
		t.Helper()
		h.write(name, data)
		h.bomb(name, []string{"data", name}, want, mayWork)
		h.remove(name)
	}
	row := []byte(`{"prompt": "` + strings.Repeat("a", 1<<20) + `", "chosen": "b", "rejected": "c"}`)
	read("twice.jsonl.gz", gzipped(t, gzipped(t, row)), "twice", false)
	read("keys.jsonl", []byte(`{`+strings.Repeat(`"a": 1, `, 1<<20)+`"b": 1}`), "keys.jsonl:1", false)
	read("digits.jsonl", []byte(`{"prompt": "a", "chosen": "b", "rejected": "c", "margin": `+
		strings.Repeat("9", 8<<20)+`}`), "digits.jsonl:1", false)
	// a zstd frame that states 2⁶⁰ bytes of content, and one with a window of 2⁴¹
	read("size.jsonl.zst", append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0x10},
		0x53, 0, 0), "size", false)
	read("window.jsonl.zst", []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 0xf8, 0x53, 0, 0}, "window", false)
	rows := make([]wide, 20_000) // 400 MB of text
	text := strings.Repeat("a", 20<<10)
	for i := range rows {
		rows[i] = wide{text, "b", "c"}
	}
	read("dictionary.parquet", parquetOf(t, rows), "over 1000 times as many", false)
	var archive bytes.Buffer
	z := zip.NewWriter(&archive)
	entry, err := z.Create("data.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	for range 64 {
		if _, err := entry.Write(row); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	read("archive.zip", archive.Bytes(), "archive.zip", false)
	read("archive.jsonl", archive.Bytes(), "archive.jsonl", false)
	// sizes and counts of a good file, one after the other as large as a byte makes them
	for _, name := range []string{"types.parquet", "pyarrow.parquet", "types.arrow"} {
		good := readFile(t, filepath.Join(shared.Root(), "pref", "testdata", name))
		from := max(0, len(good)-3000) // where the sizes are
		for at := from; at < len(good); at += 29 {
			data := bytes.Clone(good)
			copy(data[at:], []byte{0xfe, 0xff, 0xff, 0xff, 0x0f}) // 2³¹ − 1 where a count begins
			read("count-"+name, data, "count-"+name, true)
		}
	}
	t.Logf("at most %d MB of heap", h.most>>20)
}

// TestHostileModelBombs opens models whose files state more than they have, or have too much.
func TestHostileModelBombs(t *testing.T) {
	long(t)
	h := newHostile(t)
	score := []string{"score", "m", "-prompt", "what does the fox eat", "-response", "mice"}
	open := func(name, file string, data []byte, want string, mayWork bool) {
		t.Helper()
		h.model("base", file, data)
		h.bomb(name, score, want, mayWork)
	}
	open("header of 2⁶⁰", "model.safetensors", length(1<<60), "m.model.safetensors", false)
	var tensors bytes.Buffer
	for i := range 200_000 {
		fmt.Fprintf(&tensors, `,"t%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}`, i)
	}
	text := "{" + tensors.String()[1:] + "}"
	open("many tensors", "model.safetensors",
		append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...),
		"m.model.safetensors|tensor", false)
	text = `{"` + strings.Repeat("a", 1<<20) +
		`": {"dtype": "F99", "shape": [], "data_offsets": [0, 4]}}`
	open("long name", "model.safetensors",
		append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text+"1234"...),
		"m.model.safetensors", false)
	text = `{"a": {"dtype": "F32", "shape": [` + strings.Repeat("1,", 1<<20) +
		`1], "data_offsets": [0, 4]}}`
	open("many dimensions", "model.safetensors",
		append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text+"1234"...),
		"m.model.safetensors|tensor|dimension", false)

	good := readFile(t, "base/tokenizer.json")
	tokenizer := func(name string, change func(file, model map[string]any), mayWork bool) {
		t.Helper()
		var file map[string]any
		if err := json.Unmarshal(good, &file); err != nil {
			t.Fatal(err)
		}
		change(file, file["model"].(map[string]any))
		data, err := json.Marshal(file)
		if err != nil {
			t.Fatal(err)
		}
		open("tokenizer: "+name, "tokenizer.json", data, "tokenizer|vocab|token", mayWork)
	}
	vocabulary := func(n int) map[string]any {
		var file map[string]any
		if err := json.Unmarshal(good, &file); err != nil {
			t.Fatal(err)
		}
		vocab := file["model"].(map[string]any)["vocab"].(map[string]any)
		for i := range n {
			vocab[fmt.Sprint("token", i)] = 10_000 + i
		}
		return vocab
	}
	tokenizer("500,000 tokens", func(_, m map[string]any) { m["vocab"] = vocabulary(500_000) }, true)
	tokenizer("an id of 2⁴⁰", func(_, m map[string]any) {
		m["vocab"].(map[string]any)["far"] = 1 << 40
	}, false)
	tokenizer("a token of 16 MB", func(_, m map[string]any) {
		m["vocab"].(map[string]any)[strings.Repeat("a", 16<<20)] = 9000
	}, true)
	tokenizer("deep normalizers", func(file, _ map[string]any) {
		var inner any = map[string]any{"type": "NFC"}
		for range 3000 {
			inner = map[string]any{"type": "Sequence", "normalizers": []any{inner}}
		}
		file["normalizer"] = inner
	}, true)
	tokenizer("many added tokens", func(file, _ map[string]any) {
		var added []any
		for i := range 100_000 {
			added = append(added, map[string]any{"id": 20_000 + i, "content": fmt.Sprintf("<%d>", i),
				"special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false})
		}
		file["added_tokens"] = added
	}, true)

	gguf, err := os.ReadFile(filepath.Join(shared.Root(), "lm", "testdata", "gguf", "text.gguf"))
	if err != nil {
		t.Fatal(err)
	}
	for at := 8; at < 2000; at += 31 {
		for _, n := range []uint64{1 << 60, 1 << 31} {
			data := bytes.Clone(gguf)
			binary.LittleEndian.PutUint64(data[at:], n)
			h.write("m.gguf", data)
			h.bomb(fmt.Sprintf("gguf: %d at %d", n, at), []string{"score", "m.gguf", "-prompt", "x",
				"-response", "y"}, "m.gguf|gguf|token|model", true)
		}
	}
	t.Logf("at most %d MB of heap", h.most>>20)
}
