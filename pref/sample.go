package pref

import (
	"fmt"
	"iter"
	"strings"
)

// LoadSamples reads the samples of files, one after the other: see [ReadSamples].
func LoadSamples(paths []string, opt Options) ([]Sample, error) {
	var samples []Sample
	for _, path := range paths {
		for s, err := range ReadSamples(path, opt) {
			if err != nil {
				return nil, err
			}
			samples = append(samples, s)
		}
	}
	return samples, nil
}

// ReadSamples yields the samples of a file of {prompt, response} rows, in order. The prompt is text
// (one message of the user) or a list of messages, the response text or a list of one message of
// the assistant. If both have other names, Columns of opt names them; haf's name for the response
// is completion. Every row yields one sample, even with an empty response, so that rewards can be
// matched to rows. A malformed row is an error, and an error ends the sequence. A file without rows
// is [ErrEmpty].
func ReadSamples(path string, opt Options) iter.Seq2[Sample, error] {
	return func(yield func(Sample, error) bool) {
		n := 0
		for row, err := range fileRows(path) {
			if err != nil {
				yield(Sample{}, err)
				return
			}
			n++
			s, err := decodeSample(row.data, opt)
			if err != nil {
				err = fmt.Errorf("pref: %s: %w", row.source(), row.times.explain(err))
			}
			if !yield(s, err) || err != nil {
				return
			}
		}
		if n == 0 {
			yield(Sample{}, fmt.Errorf("pref: %s: %w: no row, want rows {prompt, response}", path,
				ErrEmpty))
		}
	}
}

func decodeSample(data []byte, opt Options) (s Sample, err error) {
	f, err := rowOf(data, opt)
	if err != nil {
		return s, err
	}
	if s.Prompt, err = f.prompt("prompt"); err != nil {
		return s, err
	}
	if len(s.Prompt) == 0 {
		return s, wrong(f.name("prompt"), "empty, want text or a list of messages")
	}
	if s.Prompt, err = f.context(s.Prompt); err != nil {
		return s, err
	}
	key := "response"
	if _, named := f.columns["completion"]; named {
		key = "completion"
	}
	if s.Response, err = f.answer(key); err != nil {
		return s, err
	}
	if isTranscriptAt(f, "prompt") {
		s.Response = strings.TrimSpace(s.Response)
	}
	return s, nil
}

// CountRows counts the rows of files without decoding them. Files without a row are [ErrEmpty].
func CountRows(paths []string) (n int, err error) {
	for _, err := range setRows(paths) {
		if err != nil {
			return 0, err
		}
		n++
	}
	if n == 0 {
		return 0, fmt.Errorf("pref: %v: %w: no row", paths, ErrEmpty)
	}
	return n, nil
}
