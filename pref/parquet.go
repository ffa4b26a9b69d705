package pref

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"

	"github.com/parquet-go/parquet-go"
)

// parquetMagic begins and ends a Parquet file.
const parquetMagic = "PAR1"

// parquetRows passes the rows of a Parquet file as JSON objects, numbered from 1. Columns of every
// type that JSON has a value for are read, and times as text.
func parquetRows(f io.ReaderAt, size int64, yield func(row) bool) error {
	reader, types, err := openParquet(f, size)
	if err != nil || reader == nil {
		return err
	}
	defer reader.Close()
	// One row at a time: a value that many rows have is stored once, so that a few rows of a small
	// file may take gigabytes.
	values := make([]any, 1)
	text := int64(0)
	for line := 1; ; {
		n, err := readParquet(reader, values)
		for _, v := range values[:n] {
			if types.change != nil {
				v = types.change(v)
			}
			data, bad := jsonOf(v)
			if bad != nil {
				return fmt.Errorf("row %d: %w", line, bad)
			}
			text += int64(len(data))
			if err := checkExpansion(size, text, freeExpansion, "Parquet"); err != nil {
				return fmt.Errorf("row %d: %w", line, err)
			}
			if !yield(row{line: line, data: data, times: types.times}) {
				return nil
			}
			line++
		}
		if err == io.EOF || err == nil && n == 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("after row %d: damaged Parquet, want a whole file: fetch it again: %w",
				line-1, err)
		}
	}
}

// openParquet and readParquet turn the library's panics on damaged files into errors. The reader of
// a file without rows is nil.
func openParquet(f io.ReaderAt, size int64) (
	reader *parquet.GenericReader[any], types *parquetTypes, err error,
) {
	defer caught(&err)
	if err := checkFooter(f, size); err != nil {
		return nil, nil, err
	}
	file, err := parquet.OpenFile(f, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, nil, fmt.Errorf("damaged Parquet, want a whole file: fetch it again: %w", err)
	}
	if err := oneOfEachName(file.Root(), ""); err != nil {
		return nil, nil, err
	}
	// The library fails at a file whose only group is without rows.
	var groups []parquet.RowGroup
	for _, group := range file.RowGroups() {
		if group.NumRows() > 0 {
			groups = append(groups, group)
		}
	}
	if len(groups) == 0 {
		return nil, nil, nil
	}
	reader = parquet.NewGenericRowGroupReader[any](withoutDecimals(parquet.MultiRowGroup(groups...)))
	return reader, typesOf(file), nil
}

// oneOfEachName refuses columns of one name, of which the library would pass the last.
func oneOfEachName(of parquet.Node, path string) error {
	seen := map[string]bool{}
	for _, field := range of.Fields() {
		at := path + field.Name()
		if seen[field.Name()] {
			return fmt.Errorf("two columns are named %q, want one of each name", at)
		}
		seen[field.Name()] = true
		if err := oneOfEachName(field, at+"."); err != nil {
			return err
		}
	}
	return nil
}

// checkFooter looks at the length that the file states of its own footer: the library would take as
// much memory.
func checkFooter(f io.ReaderAt, size int64) error {
	end := make([]byte, 8)
	if _, err := f.ReadAt(end, size-int64(len(end))); size < 12 || err != nil ||
		string(end[4:]) != parquetMagic {
		return errors.New("damaged Parquet, want a whole file: fetch it again: it does not end as one")
	}
	if n := int64(binary.LittleEndian.Uint32(end)); n > size-12 {
		return fmt.Errorf("damaged Parquet, want a whole file: fetch it again: a footer of %d bytes "+
			"in a file of %d", n, size)
	}
	return nil
}

func readParquet(reader *parquet.GenericReader[any], values []any) (n int, err error) {
	defer caught(&err)
	return reader.Read(values)
}

// errSizes is what a damaged file does that a library fails at.
var errSizes = errors.New("its sizes and counts lead out of it")

// panicked is the panic of a library on a damaged file as an error, without Go's own words.
func panicked(p any) error {
	if _, ofGo := p.(runtime.Error); ofGo {
		return errSizes
	}
	return fmt.Errorf("%v", p)
}

func caught(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("damaged Parquet, want a whole file: fetch it again: %w", panicked(p))
	}
}
