package pref

import (
	"os"
	"strings"
	"testing"
)

// Decimals are read with all their digits, whatever Parquet stores them in: testdata/parquet.py.
func TestParquetDecimals(t *testing.T) {
	path := "testdata/decimals.parquet"
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	if err := parquetRows(file, info.Size(), func(r row) bool {
		rows = append(rows, string(r.data))
		return true
	}); err != nil || len(rows) != 2 {
		t.Fatalf("%q, %v", rows, err)
	}
	for i, want := range [][]string{
		{`"margin":1.2345678`, `"small":-0.05`, `"whole":999999999`, `"wide":12345678901.2345678`,
			`"bytes":123456789012345678901234.5678`, `"list":[1.5,2.5]`, `"inner":{"d":1.5}`},
		{`"margin":0.0000001`, `"small":99.99`, `"whole":-1`, `"wide":-0.0000001`,
			`"bytes":-0.0001`, `"list":[3.5]`, `"inner":{"d":2.5}`},
	} {
		for _, text := range want {
			if !strings.Contains(rows[i], text+",") && !strings.Contains(rows[i], text+"}") {
				t.Errorf("row %d is %s, want %s in it", i+1, rows[i], text)
			}
		}
	}
	groups, _, err := Load([]string{path}, Options{Columns: Columns{ID: "wide"}})
	if err != nil || groups[0].Comparisons[0].Margin != 1.2345678 ||
		groups[0].ID != "12345678901.2345678" {
		t.Errorf("%v, %v", groups, err)
	}
}
