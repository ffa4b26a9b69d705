package reward

import (
	"fmt"
	"slices"
	"strings"

	"haf/lm"
	"haf/weights"
)

// ownWeights are the weights of the base that an adapter replaces by its own, the embedding and
// the policy head: by their names in the model those in the adapter's file, without PEFT's prefix.
// PEFT saves them where the vocabulary has grown (save_embedding_layers) or where modules_to_save
// names them.
type ownWeights map[string]string

// replaceable are the names of the weights that an adapter may replace.
func replaceable(c *lm.Config) []string {
	untied := *c
	untied.TiedEmbeddings = false
	tied := untied
	tied.TiedEmbeddings = true
	names := []string{lm.OutputWeight(&tied)}
	for _, p := range lm.OutputParams(&untied) {
		names = append(names, p.Name)
	}
	return names
}

// findOwn finds an adapter's own weights. known are the names of all their tensors, with the
// copies that PEFT writes beside them: modules_to_save of the same values, and the base's as
// original_module.
func findOwn(ck *weights.Tensors, c *lm.Config) (own ownWeights, known map[string]bool, err error) {
	own, known = ownWeights{}, map[string]bool{}
	for _, name := range replaceable(c) {
		for _, module := range c.ModuleNames(name) {
			dot := strings.LastIndexByte(module, '.')
			copied := module[:dot] + ".modules_to_save" + module[dot:]
			known[adapterPrefix+module[:dot]+".original_module"+module[dot:]] = true
			for _, stored := range []string{module, copied} {
				if _, ok := ck.Info(adapterPrefix + stored); !ok {
					continue
				}
				known[adapterPrefix+stored] = true
				if own[name] == "" {
					own[name] = stored
					continue
				}
				same, err := ck.SameValues(adapterPrefix+own[name], ck, adapterPrefix+stored)
				if err != nil {
					return nil, nil, fmt.Errorf("reward: %w", err)
				}
				if !same {
					info, _ := ck.Info(adapterPrefix + stored)
					return nil, nil, fmt.Errorf("reward: %s: %s and %s are both %s, with other "+
						"values: remove the one that is not meant",
						info.File, adapterPrefix+own[name], adapterPrefix+stored, name)
				}
			}
		}
	}
	return own, known, nil
}

// adoptOwn makes the model's configuration that of the adapter's own weights: as many rows as its
// embedding has, and untied where it has a policy head that is not its embedding. hasHead says
// that the model has a score head, without which the policy head cannot be left out.
func (m *Model) adoptOwn(own ownWeights, ck *weights.Tensors, hasHead bool) error {
	if len(own) == 0 {
		return nil
	}
	c := *m.Config
	tied := c
	tied.TiedEmbeddings = true
	embedding, output := lm.OutputWeight(&tied), lm.OwnOutputWeight(&c)
	rows := c.Vocab
	if own[embedding] != "" {
		info, _ := ck.Info(adapterPrefix + own[embedding])
		if len(info.Shape) != 2 || info.Shape[0] == 0 || info.Shape[1] != c.Hidden {
			return fmt.Errorf("reward: %s: %s has shape %v, want [rows %d]", info.File,
				adapterPrefix+own[embedding], info.Shape, c.Hidden)
		}
		rows = info.Shape[0]
	}
	switch {
	case own[output] != "" && c.TiedEmbeddings && own[embedding] != "":
		same, err := ck.SameValues(adapterPrefix+own[embedding], ck, adapterPrefix+own[output])
		if err != nil {
			return fmt.Errorf("reward: %w", err)
		}
		if same {
			delete(own, output) // the embedding, written once more
		} else {
			c.TiedEmbeddings = false
		}
	case own[output] != "":
		c.TiedEmbeddings = false
	case !c.TiedEmbeddings && rows != c.Vocab && !hasHead:
		info, _ := ck.Info(adapterPrefix + own[embedding])
		return fmt.Errorf("reward: %s has an embedding of %d rows, but no %s of as many: the "+
			"base's has %d, so there is no policy head, and there is no score head either",
			info.File, rows, output, c.Vocab)
	case !c.TiedEmbeddings && rows != c.Vocab:
		m.HasPolicyHead = false // the base's predicts another vocabulary
	}
	c.Vocab = rows
	m.own, m.adapted, m.Config, m.decoder.Config = own, true, &c, &c
	return nil
}

// ownModules are the modules of the own weights, as modules_to_save names them, those alone that
// listed has.
func (m *Model) ownModules(listed []string) []string {
	var out []string
	for _, stored := range m.own {
		module := stored[:strings.LastIndexByte(stored, '.')]
		name := module[strings.LastIndexByte(strings.TrimSuffix(module, ".modules_to_save"),
			'.')+1:]
		name = strings.TrimSuffix(name, ".modules_to_save")
		if slices.Contains(listed, name) && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}
