package pref

import "fmt"

// LoadPrompts reads the distinct prompts of files, in order: of rows {prompt}, other keys passed
// over, or of preference rows in any format of [Read]. Empty prompts are passed over; repeated is
// how many rows had a prompt that was there before. first, if not 0, is how many prompts to take.
// Files without a prompt are [ErrEmpty].
func LoadPrompts(paths []string, first int) (prompts [][]Message, repeated int, err error) {
	seen := map[PromptKey]bool{}
	for _, path := range paths {
		for row, err := range fileRows(path) {
			if err != nil {
				return nil, 0, err
			}
			if first > 0 && len(prompts) == first {
				return prompts, repeated, nil
			}
			prompt, err := decodePrompt(row.data)
			if err != nil {
				return nil, 0, fmt.Errorf("pref: %s: %w", Source{File: path, Line: row.line}, err)
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
		return nil, 0, fmt.Errorf("pref: %v: %w: no prompt, wanted rows {prompt} or preferences", paths, ErrEmpty)
	}
	return prompts, repeated, nil
}

func decodePrompt(data []byte) ([]Message, error) {
	f, err := objectOf(data)
	if err != nil {
		return nil, err
	}
	if raw, err := f.get("prompt"); err == nil {
		return promptOf(raw, "prompt")
	}
	d, err := decodeRow(data, Options{})
	if err != nil {
		return nil, fmt.Errorf(`no "prompt", and no preference: %w`, err)
	}
	return d.group.Prompt, nil // nil of a row that was dropped
}
