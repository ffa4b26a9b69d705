package reward

import (
	"cmp"
	"fmt"

	"haf/encode"
)

// OpenEncoder returns a model's encoder. It reads only the configuration, the tokenizer and the
// chat template, so a folder without weights is enough.
func OpenEncoder(dir string, opt ChatOptions) (*encode.Encoder, error) {
	if err := opt.Check(); err != nil {
		return nil, err
	}
	src, err := find(dir, "")
	if err != nil {
		return nil, err
	}
	tok, err := src.tokenizer()
	if err != nil {
		return nil, err
	}
	tpl, _, err := chooseTemplate(tok, opt, src.meta.Template, false)
	if err != nil {
		return nil, err
	}
	e, err := encode.New(tok, tpl, encode.Options{
		Read: cmp.Or(opt.Read, src.meta.Read), BOS: cmp.Or(opt.BOS, src.meta.BOS),
	})
	if err != nil {
		return nil, fmt.Errorf("reward: %w", err)
	}
	return e, nil
}
