package reward

import "haf/weights"

import "haf/lm"

// FromConfig describes a model that is not on disk by its config.json alone. It has the
// configuration's parameters, untrained heads and no tokenizer. That is enough for a memory plan.
func FromConfig(config []byte, opt Options) (*Model, error) {
	c, err := lm.ParseConfig(config)
	if err != nil {
		return nil, err
	}
	m, err := newModel(nil, c, Meta{}, opt)
	if err != nil {
		return nil, err
	}
	m.HasPolicyHead = true
	for _, p := range lm.Params(c) {
		if err := m.add(weights.Array{Name: p.Name, Shape: p.Shape}, m.bodyType(opt)); err != nil {
			return nil, err
		}
	}
	if opt.LoRA != nil {
		if err := m.addFresh(opt); err != nil {
			return nil, err
		}
	}
	if err := m.addHead(nil, opt); err != nil {
		return nil, err
	}
	return m, m.addVariance("", opt)
}
