package curate

import (
	"context"
	"fmt"

	"haf/pref"
)

// GenerateOptions set how [Generate] samples.
type GenerateOptions struct {
	Sampling
	Generator string // identifies the generator in the journal
	Out       string // new file for the result
	Part      Part
	Reporter
}

// A SampleSet holds the samples of prompts before they go to a new file. [SampleSet.Write] writes
// them, [SampleSet.Rank] writes them with rewards.
type SampleSet struct {
	Samples [][]Sample // [prompt][sample]

	out     string
	journal *Journal
}

// Generate samples every prompt that the generator does not refuse. It takes samples from the
// journal beside opt.Out instead of sampling them again.
func Generate(
	ctx context.Context, generator pref.Generator, prompts [][]pref.Message, opt GenerateOptions,
) (*SampleSet, error) {
	prompts, err := take(&opt.Part, prompts)
	if err != nil {
		return nil, err
	}
	prompts, err = keepAccepted(opt.Reporter, prompts, "prompts",
		func(p []pref.Message) []pref.Message { return p }, generator)
	if err != nil {
		return nil, err
	}
	hash, err := Hash(prompts)
	if err != nil {
		return nil, err
	}
	journal, err := openJournal(opt.Out, map[string]any{
		"generator": opt.Generator, "sampling": opt.Sampling, "prompts": hash,
	}, &opt.Part)
	if err != nil {
		return nil, err
	}
	if journal.Len() > 0 {
		opt.notef("resuming: %d parts are done", journal.Len())
	}
	samples, err := Samples(ctx, generator, prompts, opt.Sampling, journal, opt.pass("generating"))
	if err != nil {
		_ = journal.Close() // stays for resuming; the first error says more
		return nil, fmt.Errorf("%w; run the same command again to resume", err)
	}
	return &SampleSet{samples, opt.Out, journal}, nil
}

// OpenSamples reads the samples of the part's prompts from files: see [ReadSamples]. out is the new
// file for the result.
func OpenSamples(files []string, opt pref.Options, out string, part Part) (*SampleSet, error) {
	samples, err := ReadSamples(files, opt)
	if err != nil {
		return nil, err
	}
	if samples, err = take(&part, samples); err != nil {
		return nil, err
	}
	hash, err := Hash(samples)
	if err != nil {
		return nil, err
	}
	journal, err := openJournal(out, map[string]any{"samples": hash}, &part)
	return &SampleSet{samples, out, journal}, err
}

// Close keeps the journal, so that the work can be resumed. After Write or Rank it does nothing.
func (s *SampleSet) Close() error { return s.journal.Close() }

// Generation describes the result of [SampleSet.Write].
type Generation struct {
	Ended   int    `json:"ended"` // samples with an end token or stop text
	Out     string `json:"out"`
	Prompts int    `json:"prompts"`
	Samples int    `json:"samples"`
}

// Write writes the samples, one per line.
func (s *SampleSet) Write() (Generation, error) {
	out := Generation{Out: s.out, Prompts: len(s.Samples)}
	var rows []Sample
	for _, of := range s.Samples {
		rows = append(rows, of...)
	}
	out.Samples = len(rows)
	for _, row := range rows {
		if row.Finish == pref.FinishStop {
			out.Ended++
		}
	}
	return out, Finish(s.journal, rows)
}

// String is a line about the result.
func (g Generation) String() string {
	return fmt.Sprintf("%d samples of %d prompts are in %s; %d ended by themselves", g.Samples,
		g.Prompts, g.Out, g.Ended)
}

// Each generates the samples of one prompt, one after the other, and hands them on.
func Each(
	ctx context.Context, generator pref.Generator, prompt []pref.Message, s Sampling,
	done func(Sample) error,
) error {
	for k := range s.N {
		q := s.request(prompt, k)
		err := generator.Generate(ctx, []pref.Request{q}, func(_ int, g pref.Generated) error {
			return done(Sample{
				Prompt: q.Prompt, Generated: g, Sample: k, Temperature: q.Temperature, Seed: q.Seed,
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}
