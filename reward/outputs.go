package reward

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"haf/lm"
)

// A score head may have an output for each attribute that responses are graded by. Its labels are
// named in config.json, as transformers has them, and in haf.json, because an adapter has no
// config.json. Reading rewards, one of them, or a sum, is the reward: see [Options.Column].

// Outputs is the number of outputs of the score head, more than one only in training.
func (m *Model) Outputs() int { return max(1, len(m.Meta.Labels)) }

// nameLabels makes the labels that haf.json names those of the configuration.
func nameLabels(c *lm.Config, labels []string) error {
	if len(labels) == 0 {
		return nil
	}
	byIndex := map[string]string{}
	for i, name := range labels {
		byIndex[fmt.Sprint(i)] = name
	}
	raw, err := json.Marshal(byIndex)
	if err != nil {
		return fmt.Errorf("reward: %s: labels: %w", MetaName, err)
	}
	c.Raw = maps.Clone(c.Raw)
	if c.Raw == nil {
		c.Raw = map[string]json.RawMessage{}
	}
	c.Raw["id2label"] = raw
	return nil
}

// keep leaves the head its labels, which must be those that are trained.
func (h *scoreHead) keep(c *lm.Config, labels []string) error {
	names := labelNames(c, h.labels)
	if !slices.Equal(names, labels) {
		return fmt.Errorf("reward: %s has the labels %s, but those to be trained are %s: train from a "+
			"base without a score head, or name these attributes", h.source,
			labelList(h.labels, names), labelList(len(labels), labels))
	}
	settings, err := readHeadSettings(c)
	if err != nil {
		return err
	}
	if h.bias != nil && h.layers == 0 || settings.Normalize {
		return fmt.Errorf("reward: %s has biases, or normalizes its rewards, which a head of several "+
			"outputs cannot have: train from a base without a score head, or choose one label by "+
			"-column", h.source)
	}
	return nil
}
