package pref

import "encoding/json"

// decodeUnpaired decodes {prompt, completion, label}: one response, and whether it is desirable, as
// in KTO. The label is true or false, or 1 or 0.
func decodeUnpaired(f fields, _ Options) (decoded, error) {
	raw, err := f.get("prompt")
	if err != nil {
		return decoded{}, err
	}
	g := Group{}
	if g.Prompt, err = promptOf(raw, "prompt"); err != nil {
		return decoded{}, err
	}
	if raw, err = f.get("completion"); err != nil {
		return decoded{}, err
	}
	response, err := answerOf(raw, "completion")
	if err != nil {
		return decoded{}, err
	}
	if raw, err = f.get("label"); err != nil {
		return decoded{}, err
	}
	label, err := labelOf(raw, "label")
	switch {
	case err != nil:
		return decoded{}, err
	case len(g.Prompt) == 0:
		return decoded{drop: DropNoPrompt}, nil
	case blank(response):
		return decoded{drop: DropEmpty}, nil
	}
	g.Responses, g.Labels = []string{response}, []bool{label}
	return decoded{group: g}, nil
}

// labelOf decodes whether a response is desirable.
func labelOf(raw json.RawMessage, field string) (bool, error) {
	if kind(raw) != "a number" {
		return boolOf(raw, field)
	}
	switch x, err := numberOf(raw, field); {
	case err != nil:
		return false, err
	case x == 0 || x == 1:
		return x == 1, nil
	default:
		return false, wrong(field, "%v, wanted true or false, or 1 or 0", x)
	}
}
