package pref

import "fmt"

// LoadPrompts reads the distinct prompts of files, in order. The rows are {prompt} or {question},
// with other keys ignored, or preference rows in any format of [Read]. Empty prompts are skipped.
// repeated is the number of rows whose prompt had come before. Options.Limit, if not 0, is the
// number of prompts to take, and Options.Columns names the columns of the prompts. Files without a
// prompt are [ErrEmpty].
func LoadPrompts(paths []string, opt Options) (prompts [][]Message, repeated int, err error) {
	seen := map[PromptKey]bool{}
	for _, path := range paths {
		for row, err := range fileRows(path) {
			if err != nil {
				return nil, 0, err
			}
			if opt.Limit > 0 && len(prompts) == opt.Limit {
				return prompts, repeated, nil
			}
			prompt, err := decodePrompt(row.data, opt)
			err = row.times.explain(err)
			if err != nil {
				return nil, 0, fmt.Errorf("pref: %s: %w", row.source(), err)
			}
			if len(prompt) == 0 {
				continue
			}
			key := Group{Prompt: prompt}.PromptKey()
			if seen[key] {
				repeated++
				continue
			}
			seen[key] = true
			prompts = append(prompts, prompt)
		}
	}
	if len(prompts) == 0 {
		return nil, 0, fmt.Errorf("pref: %v: %w: no prompt, want rows {prompt} or preferences", paths,
			ErrEmpty)
	}
	return prompts, repeated, nil
}

func decodePrompt(data []byte, opt Options) ([]Message, error) {
	f, err := rowOf(data, opt)
	if err != nil {
		return nil, err
	}
	for _, key := range [2]string{"prompt", "question"} {
		if !f.has(key) {
			continue
		}
		prompt, err := f.prompt(key)
		if err != nil {
			return nil, err
		}
		return f.context(prompt)
	}
	opt.KeepTies, opt.KeepUnpaired, opt.NegativeMargin = true, true, NegativeKeep
	d, err := decodeFields(f, opt)
	if err != nil {
		return nil, fmt.Errorf(`no "prompt", and no preference: %w`, err)
	}
	return d.group.Prompt, nil // nil of a row that was dropped
}
