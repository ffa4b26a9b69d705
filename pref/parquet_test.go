package pref

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
)

type parquetMessage struct {
	Role    string `parquet:"role"`
	Content string `parquet:"content"`
}

type parquetRow struct {
	Prompt   []parquetMessage `parquet:"prompt,list"`
	Chosen   string           `parquet:"chosen"`
	Rejected string           `parquet:"rejected"`
	Margin   float64          `parquet:"margin"`
	Extra    []byte           `parquet:"extra"`
}

func parquetFile(t testing.TB, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[parquetRow](&b, parquet.MaxRowsPerRowGroup(50))
	for i := range n {
		r := parquetRow{[]parquetMessage{{User, fmt.Sprint("prompt ", i)}}, "good ☀", "bad", float64(i),
			[]byte{0, 1}}
		if i == 0 {
			r.Margin = math.NaN()
		}
		if _, err := w.Write([]parquetRow{r}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestParquet(t *testing.T) {
	path := file(t, "a.parquet", parquetFile(t, 130))
	if _, _, err := Load([]string{path}, Options{}); err == nil ||
		!strings.Contains(err.Error(), `a.parquet:1: field "margin"`) {
		t.Errorf("a margin of NaN: %v", err)
	}
	groups, counts, err := Load([]string{path}, Options{SkipBad: 1})
	if err != nil || len(groups) != 129 || counts.Read != 130 || counts.Bad != 1 {
		t.Fatalf("%d groups, %v, %v", len(groups), counts, err)
	}
	for i, g := range groups {
		want := NewPair(user(fmt.Sprint("prompt ", i+1)), "good ☀", "bad", Location{path, i + 2})
		want.Comparisons[0].Margin = float64(i + 1)
		if !reflect.DeepEqual(g, want) {
			t.Fatalf("%+v, want %+v", g, want)
		}
	}
}

// testdata/pyarrow.parquet was written by pyarrow 26.0.1: three rows of messages, zstd, the second
// margin null.
func TestParquetOfPyarrow(t *testing.T) {
	groups, _, err := Load([]string{filepath.Join("testdata", "pyarrow.parquet")}, Options{})
	if err != nil || len(groups) != 3 {
		t.Fatalf("%d groups, %v", len(groups), err)
	}
	for i, g := range groups {
		want := NewPair(user(fmt.Sprint("what does the fox eat ", i)), "mice ☀", "rain", g.Source)
		want.Comparisons[0].Margin, want.Comparisons[0].ZeroMargin = []float64{0, 0, 2}[i], i == 0
		if !reflect.DeepEqual(g, want) {
			t.Errorf("%+v, want %+v", g, want)
		}
	}
}

func TestParquetErrors(t *testing.T) {
	whole := parquetFile(t, 10)
	footer := bytes.Clone(whole)
	footer[len(footer)-5] = 0xff // a footer of 4 GB
	for name, content := range map[string][]byte{
		"cut":    whole[:len(whole)/2],
		"magic":  whole[:4],
		"footer": footer,
		"tail":   append(bytes.Clone(whole), "more"...),
	} {
		if _, _, err := Load([]string{file(t, name+".parquet", content)}, Options{}); err == nil ||
			!strings.Contains(err.Error(), "damaged Parquet") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A row that fits no form is a bad row of this file.
	var b bytes.Buffer
	if err := parquet.Write(&b, []struct{ A int }{{1}}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Load([]string{file(t, "a.parquet", b.Bytes())}, Options{}); err == nil ||
		!strings.Contains(err.Error(), `a.parquet:1: keys "A" fit no form`) {
		t.Errorf("%v", err)
	}
}

func FuzzParquet(f *testing.F) {
	f.Add(parquetFile(f, 3))
	for _, name := range []string{"pyarrow.parquet", "types.parquet",
		"decimals.parquet"} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		n := 0
		_ = parquetRows(bytes.NewReader(data), int64(len(data)), func(r row) bool {
			n++
			_, _, _ = decodeRow(r.data, Options{}) // no panic, whatever it holds
			return n < 1000
		})
	})
}

// parquetText is a file of pairs with these chosen responses.
func parquetText(t testing.TB, chosen ...string) []byte {
	t.Helper()
	var rows []parquetRow
	for _, text := range chosen {
		rows = append(rows, parquetRow{Prompt: []parquetMessage{{User, "q"}}, Chosen: text,
			Rejected: "bad"})
	}
	var b bytes.Buffer
	if err := parquet.Write(&b, rows); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A file without rows is empty, and groups without rows between others are passed over.
func TestParquetWithoutRows(t *testing.T) {
	for name, c := range map[string]struct{ rows, want int }{"no-rows": {0, 0},
		"no-rows-between": {2, 2}} {
		path := filepath.Join("testdata", name+".parquet")
		groups, counts, err := Load([]string{path}, Options{})
		if len(groups) != c.want || counts.Read != c.rows || (c.want == 0) != errors.Is(err, ErrEmpty) {
			t.Errorf("%s: %d groups, %v, %v", name, len(groups), counts, err)
		}
	}
}

func TestParquetColumnTwice(t *testing.T) {
	_, _, err := Load([]string{filepath.Join("testdata", "column-twice.parquet")}, Options{})
	if err == nil || !strings.Contains(err.Error(), `two columns are named "chosen"`) {
		t.Errorf("%v", err)
	}
}
