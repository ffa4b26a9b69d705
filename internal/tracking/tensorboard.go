package tracking

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"haf/internal/durable"
)

// tensorBoard writes an event file: TFRecords with the message Event of TensorBoard's event.proto.
type tensorBoard struct{ file *durable.File }

// castagnoli is the polynomial of the checksums of TFRecords.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// newTensorBoard creates the event file of the run in its folder tensorboard. It replaces the file
// of an earlier start, whose records are replayed.
func newTensorBoard(run Run) (sink, error) {
	dir := filepath.Join(run.Dir, TensorBoard)
	if err := inside(run.Dir, TensorBoard); err != nil {
		return nil, err
	}
	if err := durable.MkdirAll(dir); err != nil {
		return nil, err
	}
	old, err := filepath.Glob(filepath.Join(dir, "events.out.tfevents.*.haf"))
	if err != nil {
		return nil, err
	}
	for _, path := range old {
		if err := durable.RemoveAll(path); err != nil {
			return nil, err
		}
	}
	name := fmt.Sprintf("events.out.tfevents.%010d.haf", time.Now().Unix())
	if err := inside(run.Dir, filepath.Join(TensorBoard, name)); err != nil {
		return nil, err
	}
	file, err := durable.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_TRUNC|os.O_WRONLY)
	if err != nil {
		return nil, err
	}
	t := &tensorBoard{file}
	if err := t.write(event(run.Started, 0, 3, []byte("brain.Event:2"))); err != nil {
		return nil, err
	}
	return t, t.write(event(run.Started, 0, 5, textSummary("recipe", table(run.Params))))
}

func (t *tensorBoard) log(p point) error {
	var summary []byte
	for _, v := range p.values {
		var item []byte
		item = appendString(item, 1, v.name)
		item = protowire.AppendTag(item, 2, protowire.Fixed32Type) // simple_value
		item = protowire.AppendFixed32(item, math.Float32bits(float32(v.x)))
		summary = appendBytes(summary, 1, item)
	}
	return t.write(event(p.at, p.step, 5, summary))
}

func (t *tensorBoard) finish(Status) error { return t.file.Close() }

// write appends one TFRecord: length, checksum, data, checksum.
func (t *tensorBoard) write(data []byte) error {
	record := binary.LittleEndian.AppendUint64(nil, uint64(len(data)))
	record = binary.LittleEndian.AppendUint32(record, maskedSum(record))
	record = append(record, data...)
	record = binary.LittleEndian.AppendUint32(record, maskedSum(data))
	_, err := t.file.Write(record)
	return err
}

// maskedSum is the checksum in a TFRecord: CRC-32C, rotated and shifted.
func maskedSum(data []byte) uint32 {
	sum := crc32.Checksum(data, castagnoli)
	return (sum>>15 | sum<<17) + 0xa282ead8
}

// event encodes the message Event with its wall time, step and one field of bytes.
func event(at time.Time, step int, field protowire.Number, data []byte) []byte {
	var b []byte
	b = protowire.AppendTag(b, 1, protowire.Fixed64Type)
	b = protowire.AppendFixed64(b, math.Float64bits(float64(at.UnixNano())/1e9))
	if step != 0 {
		b = protowire.AppendTag(b, 2, protowire.VarintType)
		b = protowire.AppendVarint(b, uint64(step))
	}
	return appendBytes(b, field, data)
}

// textSummary encodes the message Summary with one text, which TensorBoard shows as Markdown.
func textSummary(tag, text string) []byte {
	const dtString = 7
	var tensor, shape, size, value, plugin, metadata []byte
	size = protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 1)
	shape = appendBytes(nil, 2, size)
	tensor = protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), dtString)
	tensor = appendBytes(tensor, 2, shape)
	tensor = appendString(tensor, 8, text)
	plugin = appendString(nil, 1, "text")
	metadata = appendBytes(nil, 1, plugin)
	value = appendString(nil, 1, tag)
	value = appendBytes(value, 8, tensor)
	value = appendBytes(value, 9, metadata)
	return appendBytes(nil, 1, value)
}

// table formats the recipe as a Markdown table.
func table(params map[string]string) string {
	var b strings.Builder
	b.WriteString("| key | value |\n|---|---|\n")
	for _, key := range slices.Sorted(maps.Keys(params)) {
		cell := strings.NewReplacer("|", "\\|", "\n", " ").Replace(params[key])
		fmt.Fprintf(&b, "| %s | %s |\n", key, cell)
	}
	return b.String()
}

func appendBytes(b []byte, field protowire.Number, data []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), data)
}

func appendString(b []byte, field protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), s)
}
