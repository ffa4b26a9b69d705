package pref

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	flatbuffers "github.com/google/flatbuffers/go"
)

const (
	maxArrowSchema = 64 << 20 // bytes of a message's description
	maxArrowBatch  = 1 << 30  // bytes of a record batch; datasets writes 1000 rows into one
	maxArrowFields = 10_000
	maxArrowDepth  = 64
)

// arrowMessages reads the messages of an Arrow stream. The library allocates what a message says of
// itself, so each is checked before; and it takes a stream that is cut off between two messages for
// a whole one, so the mark of the end must be there.
type arrowMessages struct {
	in   io.Reader
	body int64 // bytes that a message may have
	last *ipc.Message
	// Columns of views in a batch, and at most in a dictionary, once the schema is known.
	batchViews, dictionaryViews int
}

// knows takes in the schema, which the messages behind it must fit.
func (m *arrowMessages) knows(schema *arrow.Schema) {
	var count func(t arrow.DataType) int
	count = func(t arrow.DataType) (views int) {
		switch t := t.(type) {
		case *arrow.DictionaryType:
			m.dictionaryViews = max(m.dictionaryViews, count(t.ValueType))
		case arrow.ExtensionType:
			return count(t.StorageType())
		case arrow.NestedType:
			for _, f := range t.Fields() {
				views += count(f.Type)
			}
		case arrow.BinaryViewDataType:
			return 1
		}
		return views
	}
	for _, f := range schema.Fields() {
		m.batchViews += count(f.Type)
	}
}

func (m *arrowMessages) Retain()  {}
func (m *arrowMessages) Release() {}

// Message returns the next message, which is valid until the one after it.
func (m *arrowMessages) Message() (*ipc.Message, error) {
	var head [8]byte
	if _, err := io.ReadFull(m.in, head[:]); err != nil {
		return nil, cutOff(err)
	}
	if binary.LittleEndian.Uint32(head[:]) != 0xffffffff {
		return nil, errors.New(
			"no mark of a message (files of Arrow before 0.15 have none: write it again)")
	}
	n := int64(int32(binary.LittleEndian.Uint32(head[4:])))
	switch {
	case n == 0:
		return nil, io.EOF
	case n < 8 || n > maxArrowSchema:
		return nil, fmt.Errorf("a message's description of %d bytes", n)
	}
	meta, err := take(m.in, n)
	if err != nil {
		return nil, err
	}
	size, err := m.check(meta)
	if err != nil {
		return nil, err
	}
	if size < 0 || size > m.body {
		return nil, fmt.Errorf("a message of %d bytes, want at most %d", size, m.body)
	}
	body, err := take(m.in, size)
	if err != nil {
		return nil, err
	}
	if m.last != nil {
		m.last.Release()
	}
	m.last = ipc.NewMessage(memory.NewBufferBytes(meta), memory.NewBufferBytes(body))
	return m.last, nil
}

// take reads n bytes. It allocates what is there, whatever n is.
func take(in io.Reader, n int64) ([]byte, error) {
	var b bytes.Buffer
	_, err := io.CopyN(&b, in, n)
	return b.Bytes(), cutOff(err)
}

// cutOff tells an end in the middle from the end of a stream.
func cutOff(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Offsets of the entries in the tables of a message, as the format's Message.fbs and Schema.fbs
// number them: 4 for the first, 2 more for each further one.
const (
	messageHeaderType, messageHeader, messageBodyLength = 6, 8, 10
	messageMetadata                                     = 12
	schemaFields, schemaMetadata, schemaFeatures        = 6, 8, 10
	fieldChildren, fieldMetadata                        = 14, 16
	dictionaryData                                      = 6
	batchNodes, batchBuffers, batchVariadic             = 6, 8, 12

	headerSchema, headerDictionary, headerBatch = 1, 2, 3
)

// check checks that lists in a message's description are no longer than it, and returns the bytes
// of the message's body.
func (m *arrowMessages) check(meta []byte) (size int64, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("a message's description leads out of itself: %w", panicked(p))
		}
	}()
	message := flatbuffers.Table{Bytes: meta, Pos: flatbuffers.GetUOffsetT(meta)}
	var header flatbuffers.Table
	at := flatbuffers.UOffsetT(message.Offset(messageHeader))
	if at == 0 {
		return 0, errors.New("a message without content")
	}
	message.Union(&header, at)
	if _, _, err := vector(message, messageMetadata, 4); err != nil {
		return 0, err
	}
	switch kind := message.GetByteSlot(messageHeaderType, 0); kind {
	case headerSchema:
		left := maxArrowFields
		err = checkFields(header, schemaFields, maxArrowDepth, &left)
		for _, slot := range []flatbuffers.VOffsetT{schemaMetadata, schemaFeatures} {
			if err == nil {
				_, _, err = vector(header, slot, 4)
			}
		}
	case headerDictionary:
		if at := flatbuffers.UOffsetT(header.Offset(dictionaryData)); at != 0 {
			err = checkBatch(flatbuffers.Table{Bytes: meta, Pos: header.Indirect(at + header.Pos)},
				m.dictionaryViews)
		}
	case headerBatch:
		err = checkBatch(header, m.batchViews)
	default:
		err = fmt.Errorf("a message of the unknown kind %d", kind)
	}
	return message.GetInt64Slot(messageBodyLength, 0), err
}

// checkFields checks the fields below a schema or a field.
func checkFields(of flatbuffers.Table, slot flatbuffers.VOffsetT, depth int, left *int) error {
	start, n, err := vector(of, slot, 4)
	if err != nil {
		return err
	}
	if *left -= n; *left < 0 || depth == 0 {
		return fmt.Errorf("more than %d columns, or nested more than %d deep", maxArrowFields,
			maxArrowDepth)
	}
	for i := range n {
		field := flatbuffers.Table{Bytes: of.Bytes, Pos: of.Indirect(start + flatbuffers.UOffsetT(4*i))}
		if _, _, err := vector(field, fieldMetadata, 4); err != nil {
			return err
		}
		if err := checkFields(field, fieldChildren, depth-1, left); err != nil {
			return err
		}
	}
	return nil
}

// checkBatch checks the description of a record batch with so many columns of views. The library
// reads a count of buffers for each of them and does not look whether the list has it.
func checkBatch(batch flatbuffers.Table, views int) error {
	if _, _, err := vector(batch, batchNodes, 16); err != nil {
		return err
	}
	_, buffers, err := vector(batch, batchBuffers, 16)
	if err != nil {
		return err
	}
	start, n, err := vector(batch, batchVariadic, 8)
	if err != nil {
		return err
	}
	if n < views && batch.Offset(batchVariadic) != 0 {
		return fmt.Errorf("%d counts of buffers for %d columns of views", n, views)
	}
	for i := range n {
		if of := batch.GetInt64(start + flatbuffers.UOffsetT(8*i)); of < 0 || of > int64(buffers) {
			return fmt.Errorf("a column of %d buffers in a batch of %d", of, buffers)
		}
	}
	return nil
}

// vector returns where a list in a table begins and how many elements of so many bytes it has.
func vector(
	of flatbuffers.Table, slot flatbuffers.VOffsetT, bytes int,
) (start flatbuffers.UOffsetT, n int, err error) {
	at := flatbuffers.UOffsetT(of.Offset(slot))
	if at == 0 {
		return 0, 0, nil
	}
	start, n = of.Vector(at), of.VectorLen(at)
	if room := len(of.Bytes) - int(start); n < 0 || room < 0 || n > room/bytes {
		return 0, 0, fmt.Errorf("a list of %d elements in a description of %d bytes", n, len(of.Bytes))
	}
	return start, n, nil
}
