package curate

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"haf/internal/durable"
	"haf/internal/wholefile"
)

// Joined describes the result of [Join].
type Joined struct {
	Out   string `json:"out"`
	Verb  string `json:"verb"` // the verb that made the parts
	Parts int    `json:"parts"`
	Units int    `json:"units"` // units of the work: rows, prompts or groups
	Rows  int    `json:"rows"`
	// pairs left out because an earlier part has them; haf relabel leaves them out of one file too
	Repeated int `json:"repeated,omitempty"`
}

// String is a line about the result.
func (j Joined) String() string {
	text := fmt.Sprintf("%d parts of haf %s, %d units, are joined to %d rows in %s", j.Parts, j.Verb,
		j.Units, j.Rows, j.Out)
	if j.Repeated > 0 {
		text += fmt.Sprintf("; %d repeated pairs are left out", j.Repeated)
	}
	return text
}

// A namedPart is a part's path with its first line.
type namedPart struct {
	partHead
	path  string
	shard Shard
}

// Join writes the rows of all parts of a work to the new file out, as the command without -shard
// would have. The parts may come in any order. If a part is missing, duplicate, damaged or from
// another command, Join returns an error and writes nothing.
func Join(ctx context.Context, paths []string, out string) (Joined, error) {
	if err := durable.CheckNew(out); err != nil {
		return Joined{}, fmt.Errorf("curate: %w", err)
	}
	parts, err := readParts(paths)
	if err != nil {
		return Joined{}, err
	}
	if err := checkParts(parts); err != nil {
		return Joined{}, err
	}
	j := Joined{Out: out, Verb: parts[0].Verb, Parts: len(parts), Units: parts[0].Units}
	f, err := durable.Create(out)
	if err != nil {
		return j, fmt.Errorf("curate: %w", err)
	}
	defer f.Cleanup() // does nothing after Replace
	to := bufio.NewWriter(f)
	seen := map[string]bool{}
	for _, p := range parts {
		if err := j.add(ctx, p, to, seen); err != nil {
			return j, fmt.Errorf("curate: %s: %w", p.path, err)
		}
	}
	if j.Rows == 0 {
		return j, errors.New("curate: no part has a row: there is nothing to join")
	}
	if err := to.Flush(); err != nil {
		return j, fmt.Errorf("curate: %s: %w", out, err)
	}
	if err := f.Commit(); err != nil {
		return j, fmt.Errorf("curate: %s: %w", out, err)
	}
	return j, nil
}

// readParts reads the first lines of parts, and sorts the parts by number.
func readParts(paths []string) ([]namedPart, error) {
	var parts []namedPart
	for _, path := range paths {
		f, err := wholefile.Open(path)
		if err != nil {
			return nil, fmt.Errorf("curate: %w", err)
		}
		head, err := readHead(bufio.NewReader(f))
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("curate: %s: %w", path, err)
		}
		p := namedPart{partHead: head, path: path}
		if err := p.shard.UnmarshalText([]byte(head.Shard)); err != nil {
			return nil, fmt.Errorf("curate: %s: %w", path, err)
		}
		parts = append(parts, p)
	}
	slices.SortStableFunc(parts, func(a, b namedPart) int { return a.shard.Number - b.shard.Number })
	return parts, nil
}

// checkParts returns an error unless the sorted parts are all parts of one work, without
// duplicates.
func checkParts(parts []namedPart) error {
	if len(parts) == 0 {
		return errors.New("curate: no part is named")
	}
	first := parts[0]
	for i, p := range parts {
		switch {
		case p.Verb != first.Verb || !bytes.Equal(p.Command, first.Command):
			return fmt.Errorf("curate: %s is of haf %s %s, but %s is of haf %s %s: name the parts of one "+
				"command", p.path, p.Verb, p.Command, first.path, first.Verb, first.Command)
		case p.shard.Of != first.shard.Of || p.Units != first.Units:
			return fmt.Errorf("curate: %s is part %s of %d units, but %s is part %s of %d: name the parts "+
				"of one division", p.path, p.Shard, p.Units, first.path, first.Shard, first.Units)
		case i > 0 && p.shard == parts[i-1].shard:
			return fmt.Errorf("curate: %s and %s are both part %s: leave one out", parts[i-1].path, p.path,
				p.Shard)
		}
		if from, to := p.shard.Range(p.Units); from != p.From || to != p.To {
			return fmt.Errorf("curate: %s has units %d to %d, want %d to %d for part %s: run its "+
				"command again", p.path, p.From, p.To, from, to, p.Shard)
		}
	}
	if len(parts) == first.shard.Of {
		return nil
	}
	var missing []string
	have := 0
	for number := 1; number <= first.shard.Of; number++ {
		if have < len(parts) && parts[have].shard.Number == number {
			have++
			continue
		}
		missing = append(missing, Shard{number, first.shard.Of}.String())
	}
	const named = 20
	list := strings.Join(missing[:min(named, len(missing))], ", ")
	if len(missing) > named {
		list += fmt.Sprintf(" and %d more", len(missing)-named)
	}
	return fmt.Errorf("curate: %d of %d parts are missing: make %s by the same command with -shard %s",
		len(missing), first.shard.Of, list, missing[0])
}

// add writes the rows of a part.
func (j *Joined) add(
	ctx context.Context, p namedPart, to *bufio.Writer, seen map[string]bool,
) (err error) {
	f, err := wholefile.Open(p.path)
	if err != nil {
		return err
	}
	defer f.Close()
	in := bufio.NewReader(f)
	if _, err := readLine(in); err != nil { // readParts has read it
		return err
	}
	for row, err := range rowsOf(in) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if p.Verb == relabelVerb {
			repeated, err := isRepeated(row, seen)
			if err != nil {
				return err
			}
			if repeated {
				j.Repeated++
				continue
			}
		}
		j.Rows++
		if _, err := to.Write(row); err != nil {
			return err
		}
	}
	return nil
}

// relabelVerb is the verb whose rows must not repeat.
const relabelVerb = "relabel"

// isRepeated reports whether a row of haf relabel repeats an earlier pair, as [writer] does. Rows
// of scores are never repeated.
func isRepeated(row []byte, seen map[string]bool) (bool, error) {
	var pair Labelled
	if err := json.Unmarshal(row, &pair); err != nil {
		return false, fmt.Errorf("a row is not haf relabel's: %w", err)
	}
	if pair.Chosen == "" && pair.Rejected == "" {
		return false, nil
	}
	key, err := pair.key()
	if err != nil || seen[key] {
		return err == nil, err
	}
	seen[key] = true
	return false, nil
}
