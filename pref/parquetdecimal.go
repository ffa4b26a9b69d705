package pref

import (
	"encoding/json"
	"math/big"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// The Parquet library divides a decimal that is stored as an integer in float32 or float64, which
// loses digits. haf has it pass the integer as it stands, and writes the decimal as text.

// undivided is a row group whose decimals are of the types that they are stored in.
type undivided struct {
	parquet.RowGroup
	schema *parquet.Schema
}

func withoutDecimals(group parquet.RowGroup) parquet.RowGroup {
	root := group.Schema()
	return undivided{group, parquet.NewSchema(root.Name(), storedNode{root})}
}

// Schema implements [parquet.RowGroup].
func (u undivided) Schema() *parquet.Schema { return u.schema }

// A storedNode is a node whose integers are no decimals.
type storedNode struct{ parquet.Node }

// Type implements [parquet.Node].
func (n storedNode) Type() parquet.Type { return storedType(n.Node) }

// Fields implements [parquet.Node].
func (n storedNode) Fields() []parquet.Field { return storedFields(n.Node) }

// A storedField is a field whose integers are no decimals.
type storedField struct{ parquet.Field }

// Type implements [parquet.Node].
func (f storedField) Type() parquet.Type { return storedType(f.Field) }

// Fields implements [parquet.Node].
func (f storedField) Fields() []parquet.Field { return storedFields(f.Field) }

func storedType(node parquet.Node) parquet.Type {
	of := node.Type()
	if logical := of.LogicalType(); node.Leaf() && logical != nil {
		if _, ok := logical.Value.(*format.DecimalType); ok {
			switch of.Kind() {
			case parquet.Int32:
				return parquet.Int32Type
			case parquet.Int64:
				return parquet.Int64Type
			}
		}
	}
	return of
}

func storedFields(node parquet.Node) []parquet.Field {
	fields := node.Fields()
	out := make([]parquet.Field, len(fields))
	for i, field := range fields {
		out[i] = storedField{field}
	}
	return out
}

// scaled returns the change of an integer to the decimal that it stands for, of so many digits
// behind the point.
func scaled(digits int) change {
	return func(v any) any {
		switch v := v.(type) {
		case int32:
			return decimalText(big.NewInt(int64(v)), digits)
		case int64:
			return decimalText(big.NewInt(v), digits)
		}
		return v
	}
}

// decimalText is x / 10^digits as JSON has it, with all digits.
func decimalText(x *big.Int, digits int) json.Number {
	sign, text := "", x.String()
	if rest, negative := strings.CutPrefix(text, "-"); negative {
		sign, text = "-", rest
	}
	if digits <= 0 {
		return json.Number(sign + text + strings.Repeat("0", -digits))
	}
	if missing := digits + 1 - len(text); missing > 0 {
		text = strings.Repeat("0", missing) + text
	}
	at := len(text) - digits
	return json.Number(sign + text[:at] + "." + text[at:])
}

// decimal makes a number of a decimal that is stored as bytes, with the digits behind the point
// that its column has.
func decimal(digits int) change {
	return func(v any) any {
		if x, ok := v.(*big.Float); ok {
			return json.Number(x.Text('f', max(0, digits)))
		}
		return v
	}
}
