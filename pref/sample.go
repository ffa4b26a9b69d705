package pref

import (
	"fmt"
	"iter"
)

// ReadSamples yields the samples of a file of {prompt, response} rows, in order. The prompt is text
// (one message of the user) or a list of messages, the response text or a list of one message of
// the assistant; other keys are passed over. Files are as in [Read]. Every row yields one sample,
// also where its response is empty, so that rewards can be laid beside the rows; a malformed row is
// an error, and an error ends the sequence. A file without rows is [ErrEmpty].
func ReadSamples(path string) iter.Seq2[Sample, error] {
	return func(yield func(Sample, error) bool) {
		n := 0
		for row, err := range fileRows(path) {
			if err != nil {
				yield(Sample{}, err)
				return
			}
			n++
			s, err := decodeSample(row.data)
			if err != nil {
				err = fmt.Errorf("pref: %s: %w", Source{File: path, Line: row.line}, err)
			}
			if !yield(s, err) || err != nil {
				return
			}
		}
		if n == 0 {
			yield(Sample{}, fmt.Errorf("pref: %s: %w: no row, wanted rows {prompt, response}", path, ErrEmpty))
		}
	}
}

func decodeSample(data []byte) (Sample, error) {
	f, err := objectOf(data)
	if err != nil {
		return Sample{}, err
	}
	raw, err := f.get("prompt")
	if err != nil {
		return Sample{}, err
	}
	var s Sample
	if s.Prompt, err = promptOf(raw, "prompt"); err != nil {
		return Sample{}, err
	}
	if len(s.Prompt) == 0 {
		return Sample{}, wrong("prompt", "empty, wanted text or a list of messages")
	}
	if raw, err = f.get("response"); err != nil {
		return Sample{}, err
	}
	if s.Response, err = answerOf(raw, "response"); err != nil {
		return Sample{}, err
	}
	return s, nil
}
