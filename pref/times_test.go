package pref

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// testdata/types.* hold columns of many types, written by pyarrow: testdata/parquet.py.
func TestTypesOfTables(t *testing.T) {
	for _, name := range []string{"types.parquet", "types.arrow"} {
		path := filepath.Join("testdata", name)
		for column, want := range map[string]float64{"big": 1 << 63, "big32": 1 << 31, "half": 0.5,
			"decimal": 12.34, "inner.half": 1.5} {
			groups, _, err := Load([]string{path}, Options{Columns: Columns{Margin: column}})
			if err != nil || groups[0].Comparisons[0].Margin != want {
				t.Errorf("%s: %s: %v, want %v", path, column, err, want)
			}
		}
		for column, want := range map[string]string{"stamp": "a timestamp", "date": "a date",
			"time": "a time", "duration": "a duration", "inner.stamp": "a timestamp"} {
			_, _, err := Load([]string{path}, Options{Columns: Columns{Margin: column}})
			if err == nil || !strings.Contains(err.Error(), want+", want a number") {
				t.Errorf("%s: %s: %v, want %q", path, column, err, want)
			}
		}
		scored := func(scores string) ([]Group, error) {
			groups, _, err := Load([]string{path}, Options{Format: Groups,
				Columns: Columns{Responses: "texts", Scores: scores}})
			return groups, err
		}
		groups, err := scored("halves")
		if err != nil || !slices.Equal(groups[0].Scores, []float64{0.5, 2.5}) {
			t.Errorf("%s: %v, %v", path, groups, err)
		}
		_, err = scored("stamps")
		if err == nil || !strings.Contains(err.Error(), `"stamps[0]": a timestamp, want a number`) {
			t.Errorf("%s: %v", path, err)
		}
		// Columns that nobody reads are not judged.
		if _, counts, err := Load([]string{path}, Options{}); err != nil || counts.Kept != 2 {
			t.Errorf("%s: %v, %v", path, counts, err)
		}
	}
}
