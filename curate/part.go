package curate

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"iter"
	"strconv"
	"strings"

	"haf/internal/wholefile"
)

// A Shard is one of Of equal parts of a work, numbered from 1. The zero value is the whole.
type Shard struct{ Number, Of int }

// mostShards limits Shard.Of, so that a list of missing parts stays readable.
const mostShards = 100_000

// UnmarshalText reads "2/8".
func (s *Shard) UnmarshalText(text []byte) error {
	number, of, ok := strings.Cut(string(text), "/")
	var err error
	if s.Number, err = strconv.Atoi(number); err == nil {
		s.Of, err = strconv.Atoi(of)
	}
	if !ok || err != nil || s.Of < 1 || s.Of > mostShards || s.Number < 1 || s.Number > s.Of {
		return fmt.Errorf("%q, want NUMBER/OF, such as 1/8 for the first of 8 parts; OF is at most %d",
			text, mostShards)
	}
	return nil
}

// String returns the form that [Shard.UnmarshalText] reads, or "" for the whole.
func (s Shard) String() string {
	if s.Of == 0 {
		return ""
	}
	return fmt.Sprintf("%d/%d", s.Number, s.Of)
}

// shardAlign divides the first unit of every shard that is long enough. Work is done in portions of
// this many units or a divisor of it, and the last bits of a reward depend on the other texts in
// its portion. So a part has the same bits as the whole.
const shardAlign = 256

// Range returns the units, of n, that belong to the shard: from up to, not including, to.
func (s Shard) Range(n int) (from, to int) {
	if s.Of == 0 {
		return 0, n
	}
	edge := func(k int) int {
		at := k * n / s.Of
		if n/s.Of >= shardAlign && k < s.Of {
			at -= at % shardAlign
		}
		return at
	}
	return edge(s.Number - 1), edge(s.Number)
}

// A Part is the part of a work that a command does, with a description of the work.
type Part struct {
	Shard
	Verb string
	// Command is everything that the rows depend on, such as flags and hashes of files. It becomes
	// JSON.
	Command any

	from, to, units int
}

// take returns the units of the part and records their range.
func take[T any](p *Part, units []T) ([]T, error) {
	if err := p.note(len(units)); err != nil {
		return nil, err
	}
	return units[p.from:p.to], nil
}

// note records the part's range of that many units.
func (p *Part) note(units int) error {
	p.from, p.to = p.Range(units)
	p.units = units
	if p.from == p.to {
		return fmt.Errorf("curate: part %s of %d units is empty: use at most %d parts", p.Shard, units,
			units)
	}
	return nil
}

// partFormat is the format number of a part.
const partFormat = 1

// A partHead is the first line of a part's file. The rows follow as in the whole result, then a
// [partEnd].
type partHead struct {
	Format  int             `json:"haf_part"`
	Verb    string          `json:"verb"`
	Shard   string          `json:"shard"`
	From    int             `json:"from"` // the first unit, counted from 0
	To      int             `json:"to"`   // the unit after the last one
	Units   int             `json:"units"`
	Command json.RawMessage `json:"command"`
}

// A partEnd is the last line of a part's file.
type partEnd struct {
	Rows int    `json:"haf_part_rows"`
	Sum  string `json:"crc32c"` // over the lines between: eight hexadecimal digits
}

func (p *Part) head() ([]byte, error) {
	command, err := json.Marshal(p.Command)
	if err != nil {
		return nil, fmt.Errorf("curate: command: %w", err)
	}
	return json.Marshal(partHead{partFormat, p.Verb, p.Shard.String(), p.from, p.to, p.units, command})
}

// errNoPart is wrapped by the error for a file that is no part.
var errNoPart = errors.New(
	"it is no part: want a file such as haf score -shard 1/8 -out FILE writes")

// readHead reads the first line of a part's file.
func readHead(in *bufio.Reader) (h partHead, err error) {
	line, err := readLine(in)
	switch {
	case errors.Is(err, io.EOF):
		return h, errNoPart
	case err != nil:
		return h, err
	}
	var shard Shard
	if err := json.Unmarshal(line, &h); err != nil || h.Format == 0 ||
		shard.UnmarshalText([]byte(h.Shard)) != nil {
		return h, errNoPart
	}
	if h.Format != partFormat {
		return h, fmt.Errorf("it is a part of format %d, and this haf reads %d: run its command again, "+
			"or join with the haf that made it", h.Format, partFormat)
	}
	return h, nil
}

// maxLine limits a row of a part, in bytes.
const maxLine = 1 << 28

// readLine reads a complete line with its end. It returns io.EOF for a line that was cut off, or at
// the end.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		piece, err := in.ReadSlice('\n')
		line = append(line, piece...)
		if len(line) > maxLine {
			return nil, fmt.Errorf("a line has more than %d bytes", maxLine)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}

// rowsOf yields the lines of a part's file after the first one, and checks that the file is
// complete.
func rowsOf(in *bufio.Reader) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		var sum uint32
		for n := 0; ; n++ {
			line, err := readLine(in)
			if errors.Is(err, io.EOF) {
				yield(nil, errors.New("its end is missing: run the command of the part again"))
				return
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if bytes.HasPrefix(line, []byte(`{"haf_part_rows":`)) {
				var end partEnd
				_, more := in.Peek(1)
				if json.Unmarshal(line, &end) != nil || end.Rows != n || more == nil ||
					end.Sum != fmt.Sprintf("%08x", sum) {
					yield(nil, errors.New("it is damaged: remove it, and run the command of the part again"))
				}
				return
			}
			sum = crc32.Update(sum, castagnoli, line)
			if !yield(line, nil) {
				return
			}
		}
	}
}

// Finished reports whether the part's file exists, complete and from the same command. A part of
// another command is an error, as is a damaged one. Work without a shard is never finished.
func (p *Part) Finished(path string) (bool, error) {
	if p.Of == 0 {
		return false, nil
	}
	f, err := wholefile.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("curate: %w", err)
	}
	defer f.Close()
	in := bufio.NewReader(f)
	head, err := readHead(in)
	if err != nil {
		return false, fmt.Errorf("curate: %s exists already: %w: name another output, or remove it", path,
			err)
	}
	command, err := json.Marshal(p.Command)
	if err != nil {
		return false, fmt.Errorf("curate: command: %w", err)
	}
	if head.Verb != p.Verb || head.Shard != p.Shard.String() || !bytes.Equal(head.Command, command) {
		return false, fmt.Errorf("curate: %s is part %s of haf %s %s, now it is part %s of haf %s %s: "+
			"name another output, or remove it", path, head.Shard, head.Verb, head.Command, p.Shard, p.Verb,
			command)
	}
	for _, err := range rowsOf(in) {
		if err != nil {
			return false, fmt.Errorf("curate: %s: %w", path, err)
		}
	}
	return true, nil
}
