package pref

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// An Arrow file is an Arrow stream behind its magic, with an index at the end that haf needs not.
const (
	arrowFileMagic = "ARROW1"
	arrowFileHead  = 8 // bytes, the magic and its padding
)

// maxItems bounds a list in a row: a list of nulls takes no byte of the file.
const maxItems = 1 << 24

// arrowRows passes the rows of an Arrow stream as JSON objects, numbered from 1. It holds one
// record batch at a time. size, where it is not 0, bounds a batch of an uncompressed file. columns,
// where there are any, are those to keep.
func arrowRows(in io.Reader, size int64, columns []string, yield func(row) bool) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = damagedArrow(panicked(p))
		}
	}()
	body := int64(maxArrowBatch)
	if size > 0 {
		body = min(body, size)
	}
	messages := &arrowMessages{in: in, body: body}
	reader, err := ipc.NewReaderFromMessageReader(messages,
		ipc.WithAllocator(&boundedAllocator{left: 2 * maxArrowBatch}))
	if err != nil {
		return damagedArrow(err)
	}
	defer reader.Release()
	messages.knows(reader.Schema())
	keep, err := arrowColumns(reader.Schema(), columns)
	if err != nil {
		return err
	}
	held := times{}
	held.addFields(reader.Schema().Fields(), "")
	line := 1
	for reader.Next() {
		batch := reader.RecordBatch()
		for i := range int(batch.NumRows()) {
			object := make(map[string]any, len(keep))
			for _, c := range keep {
				name := batch.ColumnName(c)
				if object[name], err = arrowValue(batch.Column(c), i); err != nil {
					return fmt.Errorf("row %d: column %q: %w", line, name, err)
				}
			}
			data, err := jsonOf(object)
			if err != nil {
				return fmt.Errorf("row %d: %w", line, err)
			}
			if !yield(row{line: line, data: data, times: held}) {
				return nil
			}
			line++
		}
	}
	if err := reader.Err(); err != nil {
		return fmt.Errorf("after row %d: %w", line-1, damagedArrow(err))
	}
	return nil
}

// arrowColumns returns the indices of the columns to keep, all where named is empty.
func arrowColumns(schema *arrow.Schema, named []string) ([]int, error) {
	var keep []int
	seen := map[string]bool{}
	for i, field := range schema.Fields() {
		if seen[field.Name] {
			return nil, fmt.Errorf("two columns are named %q, want one of each name", field.Name)
		}
		seen[field.Name] = true
		if len(named) == 0 || slices.Contains(named, field.Name) {
			keep = append(keep, i)
		}
	}
	for _, name := range named {
		if !seen[name] {
			return nil, fmt.Errorf("%s names the column %q, which the file lacks", stateName, name)
		}
	}
	return keep, nil
}

func damagedArrow(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || err == io.EOF {
		return errors.New("truncated Arrow, want a whole file: fetch it again")
	}
	if strings.Contains(err.Error(), "runtime error") { // which the library makes text of
		err = errSizes
	}
	return fmt.Errorf("damaged Arrow, want a whole file: fetch it again: %w", err)
}

// boundedAllocator panics, which the reader makes an error of, before a file takes more memory than
// there is left: compressed batches state sizes of their own.
type boundedAllocator struct {
	memory.GoAllocator
	left int64
}

func (b *boundedAllocator) take(n int) {
	if b.left -= int64(n); b.left < 0 {
		panic(fmt.Sprintf("a record batch of more than %d bytes", maxArrowBatch))
	}
}

func (b *boundedAllocator) Allocate(n int) []byte {
	b.take(n)
	return b.GoAllocator.Allocate(n)
}

func (b *boundedAllocator) Reallocate(n int, old []byte) []byte {
	b.take(n - len(old))
	return b.GoAllocator.Reallocate(n, old)
}

func (b *boundedAllocator) Free(old []byte) {
	b.left += int64(len(old))
	b.GoAllocator.Free(old)
}

// arrowValue returns one value of a column as encoding/json has it: null, a bool, a number, text,
// a list or an object.
func arrowValue(column arrow.Array, i int) (any, error) {
	if column.IsNull(i) {
		return nil, nil
	}
	switch a := column.(type) {
	case *array.Null:
		return nil, nil
	case *array.Boolean:
		return a.Value(i), nil
	case array.StringLike: // string, large_string, string_view
		return a.Value(i), nil
	case *array.Float16:
		return a.Value(i).Float32(), nil
	case *array.Float32:
		return a.Value(i), nil
	case *array.Float64:
		return a.Value(i), nil
	case *array.Int8, *array.Int16, *array.Int32, *array.Int64, *array.Uint8, *array.Uint16,
		*array.Uint32, *array.Uint64:
		return a.(interface{ ValueAsAny(int) any }).ValueAsAny(i), nil
	case *array.Dictionary:
		return arrowValue(a.Dictionary(), a.GetValueIndex(i))
	case array.ExtensionArray:
		return arrowValue(a.Storage(), i)
	case *array.Struct:
		return arrowObject(a, i)
	case array.ListLike: // list, large_list, fixed_size_list, list_view, map
		begin, end := a.ValueOffsets(i)
		values := a.ListValues()
		if begin < 0 || end < begin || end > int64(values.Len()) || end-begin > maxItems {
			return nil, fmt.Errorf("a list of the elements %d to %d of %d, want at most %d of them", begin,
				end, values.Len(), maxItems)
		}
		list := make([]any, 0, end-begin)
		for k := begin; k < end; k++ {
			v, err := arrowValue(values, int(k))
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, nil
	case *array.RunEndEncoded, array.Union:
		return nil, fmt.Errorf("the type %s has no form in JSON: write the column in another type",
			column.DataType())
	}
	value := column.GetOneForMarshal(i) // times, decimals and bytes
	if _, ok := column.DataType().(arrow.DecimalType); ok {
		return json.Number(fmt.Sprint(value)), nil
	}
	if timeName(column.DataType().ID()) != "" {
		return fmt.Sprint(value), nil
	}
	return value, nil
}

func arrowObject(a *array.Struct, i int) (any, error) {
	fields := a.DataType().(*arrow.StructType).Fields()
	object := make(map[string]any, len(fields))
	for k, field := range fields {
		if _, twice := object[field.Name]; twice {
			return nil, fmt.Errorf("two fields are named %q, want one of each name", field.Name)
		}
		v, err := arrowValue(a.Field(k), i)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", field.Name, err)
		}
		object[field.Name] = v
	}
	return object, nil
}
