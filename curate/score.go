package curate

import (
	"context"
	"fmt"
	"iter"

	"haf/pref"
	"haf/rewarder"
)

// ScoreOptions set how [Score] scores.
type ScoreOptions struct {
	rewarder.SampleOptions
	Columns pref.Columns // of the files
	Out     string       // new file for the samples with their rewards
	// Part.Command identifies the work in the journal, even if the part is the whole.
	Part Part
	Reporter
}

// Scoring describes the result of [Score].
type Scoring struct {
	Out       string `json:"out"`
	Rows      int    `json:"rows"`
	Refused   int    `json:"refused"`   // conversations that the chat template refuses: no reward
	Truncated int    `json:"truncated"` // rewards of shortened conversations
}

// String is a line about the result.
func (s Scoring) String() string {
	return fmt.Sprintf("%d rows with their rewards are in %s; %d conversations were refused, %d "+
		"shortened", s.Rows, s.Out, s.Refused, s.Truncated)
}

// scorePortion is how many samples are read, scored and journaled at a time.
const scorePortion = 256

// Score computes the reward of each sample of the files, as [rewarder.ScoreSamples] does, and
// writes the samples with their rewards. It holds one portion in memory, however long the files
// are. It takes portions from the journal beside opt.Out instead of scoring them again.
func Score(
	ctx context.Context, r pref.Rewarder, files []string, opt ScoreOptions,
) (out Scoring, err error) {
	rows, err := pref.CountRows(files)
	if err != nil {
		return out, err
	}
	if err := opt.Part.note(rows); err != nil {
		return out, err
	}
	journal, err := openJournal(opt.Out, opt.Part.Command, &opt.Part)
	if err != nil {
		return out, err
	}
	defer func() { _ = journal.Close() }() // does nothing after finish
	if journal.Len() > 0 {
		opt.notef("resuming: %d of %d rows are done", min(journal.Len()*scorePortion, opt.Part.size()),
			opt.Part.size())
	}
	done, progress := 0, opt.pass("scoring")
	for samples, err := range portions(files, opt.Columns, opt.Part.from, opt.Part.to) {
		if err != nil {
			return out, err
		}
		if key := portionKey(done / scorePortion); !journal.Has(key) {
			var scored scoredPortion
			scored.Rows, scored.Cut, err = rewarder.ScoreEach(ctx, r, samples, opt.Reward)
			if err == nil {
				err = journal.Put(key, scored)
			}
			if err != nil {
				return out, fmt.Errorf("%w; run the same command again to resume", err)
			}
		}
		done += len(samples)
		progress(done, opt.Part.size())
	}
	if done != opt.Part.size() {
		return out, fmt.Errorf("curate: %v had %d rows and now have others: do not change files while "+
			"haf reads them", files, rows)
	}
	out.Out = opt.Out
	err = finishRows(journal, out.rows(journal, opt.SampleOptions))
	return out, err
}

// size is the number of units in the part.
func (p *Part) size() int { return p.to - p.from }

// A scoredPortion is a part of the journal.
type scoredPortion struct {
	Rows []rewarder.ScoredSample `json:"rows"`
	Cut  string                  `json:"cut,omitempty"` // how texts were cut: see [pref.Readings]
}

func portionKey(n int) string { return fmt.Sprintf("portion %d", n) }

// portions yields the samples of the rows from up to, not including, to, one portion at a time.
func portions(
	files []string, columns pref.Columns, from, to int,
) iter.Seq2[[]pref.Sample, error] {
	return func(yield func([]pref.Sample, error) bool) {
		var portion []pref.Sample
		n := -1
		for _, file := range files {
			for s, err := range pref.ReadSamples(file, pref.Options{Columns: columns}) {
				if err != nil {
					yield(nil, err)
					return
				}
				if n++; n < from {
					continue
				}
				if portion = append(portion, s); len(portion) == scorePortion || n+1 == to {
					if !yield(portion, nil) || n+1 == to {
						return
					}
					portion = nil
				}
			}
		}
		if len(portion) > 0 {
			yield(portion, nil)
		}
	}
}

// rows yields the journal's samples and counts them. It ends in an error if every conversation was
// refused.
func (s *Scoring) rows(
	journal *Journal, opt rewarder.SampleOptions,
) iter.Seq2[rewarder.ScoredSample, error] {
	return func(yield func(rewarder.ScoredSample, error) bool) {
		var first string // reason of the first refusal
		var at int
		var cut rewarder.Truncation
		for n := 0; journal.Has(portionKey(n)); n++ {
			var portion scoredPortion
			if _, err := journal.Get(portionKey(n), &portion); err != nil {
				yield(rewarder.ScoredSample{}, err)
				return
			}
			for _, row := range portion.Rows {
				s.Rows++
				if row.Refused != "" {
					if s.Refused++; s.Refused == 1 {
						first, at = row.Refused, s.Rows
					}
				} else {
					cut.AddOne(row.Truncated, portion.Cut)
				}
				if !yield(row, nil) {
					return
				}
			}
		}
		if s.Refused == s.Rows {
			yield(rewarder.ScoredSample{}, fmt.Errorf("%s: no conversation can be read; the first: %s",
				opt.Name, first))
			return
		}
		if s.Refused > 0 {
			opt.Warnf("warning: %s: %d of %d conversations cannot be read and have no reward; the first, "+
				"number %d: %s", opt.Name, s.Refused, s.Rows, at, first)
		}
		if s.Truncated = cut.Cut; cut.Cut > 0 {
			opt.Warnf("warning: %s: %s", opt.Name, cut)
		}
	}
}
