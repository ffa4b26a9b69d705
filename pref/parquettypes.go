package pref

import (
	"bytes"
	"encoding/base64"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow/float16"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"
)

// A change makes of a value as the Parquet library reads it the value that the file's types mean.
type change func(any) any

// parquetTypes finds the columns whose values the library passes in another type than the file's.
type parquetTypes struct {
	leaves []format.SchemaElement // by the index of the column
	times  times
	change change // to a whole row, nil where there is none
}

// typesOf reads the types of a file. Writers of Arrow's family note their own beside Parquet's,
// which has no durations.
func typesOf(file *parquet.File) *parquetTypes {
	t := &parquetTypes{times: times{}}
	for _, element := range file.Metadata().Schema {
		if element.Type.Valid {
			t.leaves = append(t.leaves, element)
		}
	}
	if noted, ok := file.Lookup("ARROW:schema"); ok {
		t.addNoted(noted)
	}
	t.change = t.of(file.Root(), "")
	return t
}

// addNoted takes in the times of an Arrow schema; one that is damaged says nothing.
func (t *parquetTypes) addNoted(schema string) {
	message, err := base64.StdEncoding.DecodeString(schema)
	if err != nil {
		return
	}
	reader, err := ipc.NewReaderFromMessageReader(
		&arrowMessages{in: bytes.NewReader(message), body: maxArrowSchema})
	if err == nil {
		t.times.addFields(reader.Schema().Fields(), "")
		reader.Release()
	}
}

// of returns the change to a column's values, nil where there is none.
func (t *parquetTypes) of(column *parquet.Column, path string) change {
	inner := t.within(column, path)
	if inner == nil || !column.Repeated() {
		return inner
	}
	return each(inner)
}

// within is of without the repetition of the column itself.
func (t *parquetTypes) within(column *parquet.Column, path string) change {
	if column.Leaf() {
		return t.leaf(column, path)
	}
	if logical := column.Type().LogicalType(); logical != nil {
		switch logical.Value.(type) {
		case *format.MapType:
			return nil // the library passes its values in their own types
		case *format.ListType:
			if inner := t.of(column.Columns()[0].Columns()[0], path); inner != nil {
				return each(inner)
			}
			return nil
		}
	}
	changes := map[string]change{}
	for _, child := range column.Columns() {
		at := child.Name()
		if path != "" {
			at = path + "." + at
		}
		if c := t.of(child, at); c != nil {
			changes[child.Name()] = c
		}
	}
	if len(changes) == 0 {
		return nil
	}
	return func(v any) any {
		if object, ok := v.(map[string]any); ok {
			for name, c := range changes {
				object[name] = c(object[name])
			}
		}
		return v
	}
}

// each changes the elements of a list.
func each(inner change) change {
	return func(v any) any {
		if list, ok := v.([]any); ok {
			for i := range list {
				list[i] = inner(list[i])
			}
		}
		return v
	}
}

// leaf is the change to single values.
func (t *parquetTypes) leaf(column *parquet.Column, path string) change {
	element := t.leaves[column.Index()]
	if name := timeOf(element); name != "" && t.times[path] == "" {
		t.times[path] = name
	}
	switch logical := element.LogicalType.Value.(type) {
	case *format.Float16Type:
		return half
	case *format.TimestampType, *format.DateType, *format.TimeType:
		return timeText
	case *format.IntType:
		if !logical.IsSigned {
			return unsigned
		}
	case *format.DecimalType:
		if element.Type.V == format.Int32 || element.Type.V == format.Int64 {
			return scaled(int(logical.Scale))
		}
		return decimal(int(logical.Scale))
	}
	switch {
	case t.times[path] != "":
		return timeText
	case element.ConvertedType.Valid && element.ConvertedType.V >= deprecated.Uint8 &&
		element.ConvertedType.V <= deprecated.Uint64:
		return unsigned
	case element.ConvertedType.Valid && element.ConvertedType.V == deprecated.Decimal:
		if element.Type.V == format.Int32 || element.Type.V == format.Int64 {
			return scaled(int(element.Scale.V))
		}
		return decimal(int(element.Scale.V))
	}
	return nil
}

// timeOf names the type of a column of times, "" for others.
func timeOf(element format.SchemaElement) string {
	switch element.LogicalType.Value.(type) {
	case *format.TimestampType:
		return "a timestamp"
	case *format.DateType:
		return "a date"
	case *format.TimeType:
		return "a time"
	}
	if element.Type.V == format.Int96 {
		return "a timestamp"
	}
	if !element.ConvertedType.Valid {
		return ""
	}
	switch element.ConvertedType.V {
	case deprecated.TimestampMillis, deprecated.TimestampMicros:
		return "a timestamp"
	case deprecated.Date:
		return "a date"
	case deprecated.TimeMillis, deprecated.TimeMicros:
		return "a time"
	case deprecated.Interval:
		return "an interval"
	}
	return ""
}

// timeText makes text of a time: the number that the file holds, in the column's unit.
func timeText(v any) any {
	if v == nil {
		return nil
	}
	return fmt.Sprint(v)
}

// unsigned undoes the library's reading of unsigned numbers as signed ones.
func unsigned(v any) any {
	switch v := v.(type) {
	case int64:
		return uint64(v)
	case int32:
		return uint32(v)
	}
	return v
}

// half makes a number of the two bytes of a float16.
func half(v any) any {
	if b, ok := v.([]byte); ok && len(b) == 2 {
		return float16.FromLEBytes(b).Float32()
	}
	return v
}
