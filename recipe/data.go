package recipe

import (
	"errors"
	"fmt"

	"haf/encode"
	"haf/pref"
	"haf/train"
)

// Options returns the options for reading rows, without those for drawing a part of them.
func (d Data) Options() pref.Options {
	return pref.Options{Format: d.Format, Label: d.Label, Subsets: d.Subsets, MaxChars: d.MaxChars,
		SkipBad: d.SkipBad, Limit: d.Limit, NegativeMargin: d.NegativeMargin, NonText: d.NonText,
		Columns: pref.Columns(d.Columns)}
}

// Groups reads the recipe's preference files and splits off the validation set by prompt; lines
// report what was read, kept and dropped. The test file is not read.
func (r *Recipe) Groups() (trained, valid []pref.Group, lines []string, err error) {
	d := r.Data
	opt := d.Options()
	opt.KeepTies, opt.KeepUnpaired = r.Objective.hybrid().UsesTies(), r.Objective.hybrid().UsesLabels()
	opt.Attributes = r.attributes()
	clean := opt
	clean.Limit = 0
	opt.Fraction, opt.Weights, opt.Seed = d.Fraction, d.Weights, StreamSeed(r.Train.Seed, "data")
	trained, counts, err := pref.LoadSets(r.sets("data.train", d.Train), opt)
	if errors.Is(err, pref.ErrEmpty) && counts != nil && counts.Dropped[pref.DropUnpaired] > 0 {
		err = fmt.Errorf("%w: to learn from labelled responses set objective.reward = \"bce\" and "+
			"objective.policy = \"kto\"", err)
	}
	if err != nil {
		return nil, nil, nil, err
	}
	lines = append(lines, fmt.Sprintf("train data: %s", counts))
	trained = r.singles(trained)
	switch {
	case len(d.Valid) > 0:
		valid, counts, err = pref.LoadSets(r.sets("data.valid", d.Valid), clean)
		if err != nil {
			return nil, nil, nil, fmt.Errorf("recipe: data.valid: %w", err)
		}
		lines = append(lines, fmt.Sprintf("validation data: %s", counts))
		valid = r.singles(valid)
	case d.ValidFraction > 0:
		trained, valid = pref.SplitByPrompt(trained, d.ValidFraction, StreamSeed(r.Train.Seed, "split"))
		lines = append(lines, fmt.Sprintf("split by prompt: %d groups to train on, %d to validate",
			len(trained), len(valid)))
	}
	if d.LabelNoise > 0 { // after the split: what is validated on stays clean
		flipped := pref.AddNoise(trained, d.LabelNoise, StreamSeed(r.Train.Seed, "noise"))
		lines = append(lines, fmt.Sprintf("label noise: %d training comparisons flipped", flipped))
	}
	return trained, valid, lines, nil
}

// Encode turns the groups into tokens and aligns the validation groups' texts with them. The texts
// of trained are gone afterwards.
func Encode(encoder *encode.Encoder, trained, valid []pref.Group) (train.Data, []string, error) {
	var data train.Data
	var lines []string
	groups, report, err := encoder.Consume(trained)
	if err != nil {
		return data, nil, err
	}
	data.Train = groups
	lines = append(lines, fmt.Sprintf("train tokens: %s", report))
	if len(valid) == 0 {
		return data, lines, nil
	}
	if data.Valid, report, err = encoder.Groups(valid); err != nil {
		return data, nil, fmt.Errorf("validation set: %w", err)
	}
	data.ValidGroups = Aligned(valid, data.Valid)
	return data, append(lines, fmt.Sprintf("validation tokens: %s", report)), nil
}

// Aligned returns the texts of the encoded groups, with the comparisons left after encoding.
func Aligned(groups []pref.Group, encoded []encode.Group) []pref.Group {
	out := make([]pref.Group, len(encoded))
	for i, e := range encoded {
		out[i] = groups[e.Index]
		out[i].Comparisons = e.Comparisons
	}
	return out
}

// ValidationGroups returns the validation data of the run in a folder. A run without validation
// data is an error.
func ValidationGroups(dir string) ([]pref.Group, error) {
	manifest, err := ReadManifest(dir)
	if err != nil {
		return nil, err
	}
	_, valid, _, err := manifest.Recipe.Groups()
	if err != nil {
		return nil, err
	}
	if len(valid) == 0 {
		return nil, fmt.Errorf("recipe: %s was trained without validation data", dir)
	}
	return valid, nil
}

// HeldOut returns the groups whose prompts the run in the folder used neither for training nor for
// validation.
func HeldOut(dir string, groups []pref.Group) ([]pref.Group, error) {
	manifest, err := ReadManifest(dir)
	if err != nil {
		return nil, err
	}
	trained, valid, _, err := manifest.Recipe.Groups()
	if err != nil {
		return nil, fmt.Errorf("recipe: the data of %s: %w", dir, err)
	}
	seen := map[pref.PromptKey]bool{}
	for _, g := range append(trained, valid...) {
		seen[g.PromptKey()] = true
	}
	var out []pref.Group
	for _, g := range groups {
		if !seen[g.PromptKey()] {
			out = append(out, g)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf(
			"recipe: every prompt of the data was trained on in %s: nothing is held out", dir)
	}
	return out, nil
}
