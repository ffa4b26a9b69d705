package curate

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"os"

	"haf/internal/durable"
	"haf/internal/filelock"
)

// A Journal keeps finished parts of long work in PATH.part, until the result is written to PATH. It
// is a file of JSON lines: first {"format", "settings"} of the work, then {"key", "value",
// "crc32c"} for each part. It is locked while it is open, and not safe for concurrent use.
type Journal struct {
	path  string
	file  *durable.File
	size  int64 // of the complete lines in file
	lock  *filelock.Lock
	parts map[string]span
	begun bool  // the file has its first line
	part  *Part // the part of the work; nil: all of it
}

// A span is the location of a line in the file. Values stay in the file, so that long work takes
// little memory.
type span struct {
	at   int64
	size int
}

// journalFormat is the format number of a journal. Format 1 had no number and no checksums.
const journalFormat = 2

type journalHead struct {
	Format   int             `json:"format"`
	Settings json.RawMessage `json:"settings"`
}

type journalLine struct {
	Key   string          `json:"key"`
	Value json.RawMessage `json:"value"`
	Sum   string          `json:"crc32c"` // over key and value: eight hexadecimal digits
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (l journalLine) sum() string {
	sum := crc32.Checksum([]byte(l.Key), castagnoli)
	return fmt.Sprintf("%08x", crc32.Update(sum, castagnoli, l.Value))
}

// partName returns the path of a result's journal.
func partName(path string) string { return path + ".part" }

// OpenJournal begins a journal for the result at path, or resumes an existing one. settings are
// everything that the parts depend on: it refuses a journal with other settings, and a result that
// exists. It drops a last line that a crash cut off.
func OpenJournal(path string, settings any) (*Journal, error) {
	return openJournal(path, settings, nil)
}

// openJournal is OpenJournal for a part of a work.
func openJournal(path string, settings any, part *Part) (*Journal, error) {
	if part != nil && part.Of == 0 {
		part = nil
	}
	if part != nil {
		settings = map[string]any{"of": settings, "shard": part.Shard.String()}
	}
	if err := durable.CheckNew(path); err != nil {
		return nil, fmt.Errorf("curate: %w", err)
	}
	want, err := json.Marshal(settings)
	if err != nil {
		return nil, fmt.Errorf("curate: settings: %w", err)
	}
	j := &Journal{path: path, parts: map[string]span{}, part: part}
	if j.lock, err = filelock.Acquire(partName(path)); errors.Is(err, filelock.ErrHeld) {
		return nil, fmt.Errorf("curate: %s is in use by another process: wait until it ends, or name "+
			"another output", partName(path))
	} else if err != nil {
		return nil, fmt.Errorf("curate: %w", err)
	}
	f, err := durable.OpenFile(partName(path), os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("curate: %w", err), j.lock.Release())
	}
	j.file = f
	if err := j.read(want); err != nil {
		return nil, errors.Join(fmt.Errorf("curate: %s: %w", partName(path), err), j.Close())
	}
	j.begun = true
	return j, nil
}

func (j *Journal) read(want []byte) error {
	in := bufio.NewReader(j.file)
	whole := int64(0)
	for n := 0; ; n++ {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break // without a line end it was cut off
		}
		if err != nil {
			return err
		}
		if n == 0 {
			var head journalHead
			if err := json.Unmarshal(line, &head); err != nil || head.Settings == nil {
				return errors.New("it is no journal of this program: remove it")
			}
			if err := checkFormat(max(1, head.Format)); err != nil {
				return err
			}
			if !bytes.Equal(head.Settings, want) {
				return fmt.Errorf("it was begun with other settings: %s, now %s: set them as they were, or "+
					"remove the file to start over", head.Settings, want)
			}
		} else {
			var part journalLine
			err := json.Unmarshal(line, &part)
			if err != nil || part.Key == "" || part.Sum != part.sum() {
				return fmt.Errorf("line %d is damaged: remove it to have its part recomputed", n+1)
			}
			j.parts[part.Key] = span{whole, len(line)}
		}
		whole += int64(len(line))
	}
	j.size = whole
	if err := j.cut(); err != nil {
		return err
	}
	if whole > 0 {
		return nil
	}
	head, err := json.Marshal(journalHead{journalFormat, want})
	if err != nil {
		return err
	}
	return j.append(append(head, '\n'))
}

// checkFormat returns an error for a format other than [journalFormat].
func checkFormat(format int) error {
	switch {
	case format < journalFormat:
		return fmt.Errorf("format %d, want %d: an earlier haf began it: finish it with that haf, or "+
			"remove the file to start over", format, journalFormat)
	case format > journalFormat:
		return fmt.Errorf("format %d, want %d: a later haf began it: finish it with that haf, or "+
			"remove the file to start over", format, journalFormat)
	}
	return nil
}

// cut removes the data after the complete lines.
func (j *Journal) cut() error {
	if err := j.file.Truncate(j.size); err != nil {
		return err
	}
	_, err := j.file.Seek(j.size, io.SeekStart)
	return err
}

// append writes a line, whole or not at all.
func (j *Journal) append(line []byte) error {
	if err := j.file.Append(line); err != nil {
		return err
	}
	j.size += int64(len(line))
	return nil
}

// Len is the number of finished parts.
func (j *Journal) Len() int { return len(j.parts) }

// Get decodes a part. ok is false if it is not finished.
func (j *Journal) Get(key string, value any) (ok bool, err error) {
	at, ok := j.parts[key]
	if !ok {
		return false, nil
	}
	line := make([]byte, at.size)
	_, err = j.file.ReadAt(line, at.at)
	var part journalLine
	if err == nil {
		err = json.Unmarshal(line, &part)
	}
	if err == nil && part.Sum != part.sum() {
		err = errors.New("it changed on the disk")
	}
	if err == nil {
		err = json.Unmarshal(part.Value, value)
	}
	if err != nil {
		return false, fmt.Errorf("curate: %s: part %s: %w", partName(j.path), key, err)
	}
	return true, nil
}

// Has reports whether a part is finished.
func (j *Journal) Has(key string) bool {
	_, ok := j.parts[key]
	return ok
}

// Put adds a finished part.
func (j *Journal) Put(key string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("curate: part %s: %w", key, err)
	}
	part := journalLine{Key: key, Value: data}
	part.Sum = part.sum()
	line, err := json.Marshal(part)
	if err != nil {
		return fmt.Errorf("curate: part %s: %w", key, err)
	}
	at := j.size
	if err := j.append(append(line, '\n')); err != nil {
		return fmt.Errorf("curate: %s: %w; free some space and run the same command again to resume",
			partName(j.path), err)
	}
	j.parts[key] = span{at, len(line) + 1}
	return nil
}

// Close keeps the journal for resuming. It removes a journal without parts, which would be in the
// way of a corrected command. After Finish it does nothing.
func (j *Journal) Close() error {
	if j.file == nil {
		return nil
	}
	release := j.lock.Release
	if j.begun && len(j.parts) == 0 {
		release = j.lock.Remove
	}
	err := errors.Join(j.file.Close(), release())
	j.file = nil
	return err
}

// Finish writes the result, one JSON line per row, and removes the journal.
func Finish[T any](j *Journal, rows []T) error {
	return finishRows(j, func(yield func(T, error) bool) {
		for _, row := range rows {
			if !yield(row, nil) {
				return
			}
		}
	})
}

// finishRows is Finish for a sequence of rows. For a part it also writes the first and the last
// line.
func finishRows[T any](j *Journal, rows iter.Seq2[T, error]) error {
	f, err := durable.Create(j.path)
	if err != nil {
		return fmt.Errorf("curate: %w", err)
	}
	defer f.Cleanup() // does nothing after Replace
	out := &rowWriter{out: bufio.NewWriter(f)}
	if j.part != nil {
		head, err := j.part.head()
		if err != nil {
			return err
		}
		out.line(head)
	}
	out.sum, out.rows = 0, 0
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	for row, err := range rows {
		if err != nil {
			return err
		}
		if err := encoder.Encode(row); err != nil {
			return fmt.Errorf("curate: %s: %w", j.path, err)
		}
	}
	if j.part != nil {
		end, err := json.Marshal(partEnd{out.rows, fmt.Sprintf("%08x", out.sum)})
		if err != nil {
			return fmt.Errorf("curate: %w", err)
		}
		out.line(end)
	}
	if err := out.out.Flush(); err != nil {
		return fmt.Errorf("curate: %s: %w", j.path, err)
	}
	if err := f.Commit(); err != nil {
		return fmt.Errorf("curate: %s: %w", j.path, err)
	}
	err = errors.Join(j.file.Close(), j.lock.Remove())
	j.file = nil
	if err != nil {
		return fmt.Errorf("curate: %w", err)
	}
	return nil
}

// A rowWriter counts the rows written and sums their CRC; each call writes one row.
type rowWriter struct {
	out  *bufio.Writer
	sum  uint32
	rows int
}

func (w *rowWriter) Write(row []byte) (int, error) {
	w.sum, w.rows = crc32.Update(w.sum, castagnoli, row), w.rows+1
	return w.out.Write(row)
}

// line writes a line that is not a row. An error stays in the writer until Flush.
func (w *rowWriter) line(text []byte) { _, _ = w.out.Write(append(text, '\n')) }
