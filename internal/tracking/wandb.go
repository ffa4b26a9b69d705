package tracking

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"haf/internal/durable"
)

// Fields of the messages of wandb_internal.proto that haf writes.
const (
	recordNum     = 1
	recordHistory = 2
	recordSummary = 3
	recordRun     = 17
	recordExit    = 18
	recordHeader  = 21
	itemKey       = 1
	itemJSON      = 16
)

// The log of an offline run consists of blocks like LevelDB's log, after a header of seven bytes.
const (
	blockSize    = 32 << 10
	recordHead   = 7 // checksum, length, kind
	wholeRecord  = 1
	firstPart    = 2
	middlePart   = 3
	lastPart     = 4
	oldestReader = "0.40.0" // format version that wandb itself writes
)

// wandb writes the folder of an offline run, which the command "wandb sync" uploads.
type wandb struct {
	file    *durable.File
	offset  int // bytes written
	records int
	started time.Time
	last    map[string]float64
	lastAt  point
}

// newWandB creates the offline folder of the run. It replaces the folder of an earlier start, whose
// records are replayed. The run keeps its id.
func newWandB(run Run) (sink, error) {
	state, err := readState(run.Dir)
	if err != nil {
		return nil, err
	}
	if state.WandB == "" {
		state.WandB = newID()
	} else if !idForm.MatchString(state.WandB) {
		return nil, fmt.Errorf("%s has the W&B id %q, want letters and digits; remove the file to "+
			"begin a new run in the tracker", filepath.Join(run.Dir, StateName), state.WandB)
	}
	name := filepath.Join(WandB,
		"offline-run-"+run.Started.UTC().Format("20060102_150405")+"-"+state.WandB)
	log := filepath.Join(name, "run-"+state.WandB+".wandb")
	if err := inside(run.Dir, log); err != nil {
		return nil, err
	}
	if err := inside(run.Dir, filepath.Join(name, "files")); err != nil {
		return nil, err
	}
	if err := durable.MkdirAll(filepath.Join(run.Dir, name, "files")); err != nil {
		return nil, err
	}
	path := filepath.Join(run.Dir, log)
	file, err := durable.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY)
	if err != nil {
		return nil, err
	}
	w := &wandb{file: file, started: run.Started, last: map[string]float64{}}
	if _, err := file.Write([]byte(":W&B\xe1\xbe\x00")); err != nil {
		return nil, err
	}
	w.offset = recordHead
	version := appendString(appendString(nil, 1, "haf"), 2, oldestReader)
	if err := w.write(recordHeader, appendBytes(nil, 1, version)); err != nil {
		return nil, err
	}
	if err := w.write(recordRun, runRecord(run, state.WandB)); err != nil {
		return nil, err
	}
	return w, state.write(run.Dir)
}

// idForm matches wandb's ids, which are parts of file names.
var idForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// newID returns eight letters and digits, as wandb names a run.
func newID() string {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789"
	id := make([]byte, 8)
	for i := range id {
		id[i] = letters[rand.IntN(len(letters))]
	}
	return string(id)
}

func runRecord(run Run, id string) []byte {
	var config []byte
	for _, key := range slices.Sorted(maps.Keys(run.Params)) {
		config = appendBytes(config, 1, item(key, quote(run.Params[key])))
	}
	b := appendString(nil, 1, id)
	b = appendString(b, 3, run.Project)
	b = appendBytes(b, 4, config)
	b = appendString(b, 8, run.Name)
	return appendBytes(b, 17, timestamp(run.Started))
}

func (w *wandb) log(p point) error {
	history := []byte{}
	add := func(name string, x float64) {
		history = appendBytes(history, 1, item(name, number(x)))
		w.last[name] = x
	}
	for _, v := range p.values {
		add(v.name, v.x)
	}
	w.lastAt = p
	add("_timestamp", float64(p.at.UnixNano())/1e9)
	add("_runtime", p.at.Sub(w.started).Seconds())
	add("_step", float64(p.step))
	step := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(p.step))
	return w.write(recordHistory, appendBytes(history, 2, step))
}

// finish writes the last values as the summary, and the outcome of the run.
func (w *wandb) finish(status Status) error {
	defer w.file.Close()
	var summary []byte
	for _, name := range slices.Sorted(maps.Keys(w.last)) {
		summary = appendBytes(summary, 1, item(name, number(w.last[name])))
	}
	if err := w.write(recordSummary, summary); err != nil {
		return err
	}
	if status == Interrupted {
		return w.file.Sync()
	}
	var exit []byte
	if status == Failed {
		exit = protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 1)
	}
	if runtime := w.lastAt.at.Sub(w.started).Seconds(); runtime > 0 {
		exit = protowire.AppendVarint(protowire.AppendTag(exit, 2, protowire.VarintType),
			uint64(runtime))
	}
	if err := w.write(recordExit, exit); err != nil {
		return err
	}
	return w.file.Sync()
}

// write appends a Record with the message as its field, in as many parts as the blocks need.
func (w *wandb) write(field protowire.Number, message []byte) error {
	w.records++
	data := protowire.AppendVarint(protowire.AppendTag(nil, recordNum, protowire.VarintType),
		uint64(w.records))
	data = appendBytes(data, field, message)
	var out []byte
	for first := true; first || len(data) > 0; first = false {
		left := blockSize - w.offset%blockSize
		if left < recordHead { // fill the end of a block with zeros
			out = append(out, make([]byte, left)...)
			w.offset += left
			left = blockSize
		}
		part := data[:min(len(data), left-recordHead)]
		data = data[len(part):]
		kind := byte(middlePart)
		switch {
		case first && len(data) == 0:
			kind = wholeRecord
		case first:
			kind = firstPart
		case len(data) == 0:
			kind = lastPart
		}
		sum := crc32.Update(crc32.ChecksumIEEE([]byte{kind}), crc32.IEEETable, part)
		out = binary.LittleEndian.AppendUint32(out, sum)
		out = binary.LittleEndian.AppendUint16(out, uint16(len(part)))
		out = append(append(out, kind), part...)
		w.offset += recordHead + len(part)
	}
	if _, err := w.file.Write(out); err != nil {
		return err
	}
	return nil
}

// item is a ConfigItem, HistoryItem or SummaryItem, which have the same fields.
func item(key, valueJSON string) []byte {
	return appendString(appendString(nil, itemKey, key), itemJSON, valueJSON)
}

func number(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // cannot happen for a string
	}
	return string(b)
}

func timestamp(t time.Time) []byte {
	b := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType),
		uint64(t.Unix()))
	return protowire.AppendVarint(protowire.AppendTag(b, 2, protowire.VarintType),
		uint64(t.Nanosecond()))
}
