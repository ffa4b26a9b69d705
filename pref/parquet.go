package pref

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
)

// parquetMagic begins and ends a Parquet file.
const parquetMagic = "PAR1"

// isParquet says whether the file begins as a Parquet file does, and leaves it at its start.
func isParquet(f *os.File) bool {
	magic := make([]byte, len(parquetMagic))
	_, err := f.ReadAt(magic, 0)
	return err == nil && string(magic) == parquetMagic
}

// parquetRows yields the rows of a Parquet file as JSON objects, numbered from 1. Columns of every
// type that JSON has a value for are read; a number that is none (NaN) counts as absent.
func parquetRows(f io.ReaderAt, size int64, yield func(row, error) bool) {
	const batch = 64
	reader, err := openParquet(f, size)
	if err != nil {
		yield(row{}, err)
		return
	}
	defer reader.Close()
	values := make([]any, batch)
	for line := 1; ; {
		n, err := readParquet(reader, values)
		for _, v := range values[:n] {
			data, bad := jsonOf(v)
			if bad != nil {
				yield(row{}, fmt.Errorf("row %d: %w", line, bad))
				return
			}
			if !yield(row{line, data}, nil) {
				return
			}
			line++
		}
		if err == io.EOF || err == nil && n == 0 {
			return
		}
		if err != nil {
			yield(row{}, fmt.Errorf("after row %d: damaged Parquet, wanted a whole file: fetch it again: %w", line-1, err))
			return
		}
	}
}

// openParquet and readParquet turn the library's panics on damaged files into errors.
func openParquet(f io.ReaderAt, size int64) (reader *parquet.GenericReader[any], err error) {
	defer caught(&err)
	if err := checkFooter(f, size); err != nil {
		return nil, err
	}
	file, err := parquet.OpenFile(f, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, fmt.Errorf("damaged Parquet, wanted a whole file: fetch it again: %w", err)
	}
	return parquet.NewGenericReader[any](file), nil
}

// checkFooter looks at the length that the file states of its own footer: the library would take as
// much memory.
func checkFooter(f io.ReaderAt, size int64) error {
	end := make([]byte, 8)
	if _, err := f.ReadAt(end, size-int64(len(end))); size < 12 || err != nil || string(end[4:]) != parquetMagic {
		return errors.New("damaged Parquet, wanted a whole file: fetch it again: it does not end as one")
	}
	if n := int64(binary.LittleEndian.Uint32(end)); n > size-12 {
		return fmt.Errorf("damaged Parquet, wanted a whole file: fetch it again: a footer of %d bytes in a file of %d", n, size)
	}
	return nil
}

func readParquet(reader *parquet.GenericReader[any], values []any) (n int, err error) {
	defer caught(&err)
	return reader.Read(values)
}

func caught(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("damaged Parquet, wanted a whole file: fetch it again: %v", p)
	}
}

func jsonOf(v any) ([]byte, error) {
	v, err := plainValue(v)
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(v)
	if err == nil && len(data) > maxRow {
		err = fmt.Errorf("longer than %d bytes", maxRow)
	}
	return data, err
}

// plainValue replaces what JSON has no value for.
func plainValue(v any) (any, error) {
	var err error
	switch v := v.(type) {
	case map[string]any:
		for k, inner := range v {
			if v[k], err = plainValue(inner); err != nil {
				return nil, fmt.Errorf("column %q: %w", k, err)
			}
		}
	case []any:
		for i, inner := range v {
			if v[i], err = plainValue(inner); err != nil {
				return nil, err
			}
		}
	case string:
		if !utf8.ValidString(v) {
			return nil, errors.New("invalid UTF-8, wanted UTF-8")
		}
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, nil
		}
	case float32:
		if x := float64(v); math.IsNaN(x) || math.IsInf(x, 0) {
			return nil, nil
		}
	}
	return v, nil
}
