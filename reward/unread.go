package reward

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"haf/lm"
	"haf/weights"
)

// checkTensors returns an error if the checkpoint of a model is quantized, or holds tensors that
// are read neither as weights nor as a score head: the model would compute something else than the
// program that wrote them.
func checkTensors(ck *weights.Tensors, c *lm.Config) error {
	if err := lm.CheckQuantized(ck, c); err != nil {
		return fmt.Errorf("reward: %w", err)
	}
	unread, err := unreadTensors(ck, c)
	if err != nil || len(unread) == 0 {
		return err
	}
	return unreadError(unread, c)
}

// unreadTensors are the tensors that are neither weights nor a score head.
func unreadTensors(ck *weights.Tensors, c *lm.Config) ([]weights.Info, error) {
	settings, err := readHeadSettings(c)
	if err != nil {
		return nil, err
	}
	known := headTensors(ck, "", settings)
	var unread []weights.Info
	for _, info := range lm.Unread(ck, c) {
		if !known[info.Name] {
			unread = append(unread, info)
		}
	}
	return unread, nil
}

// maxListed is how many tensors an error names.
const maxListed = 8

// unreadError names tensors that are not read, and says what to do about what may be a score head.
func unreadError(unread []weights.Info, c *lm.Config) error {
	var parts []string
	for i, info := range unread {
		if i == maxListed {
			parts = append(parts, fmt.Sprintf("and %d more", len(unread)-i))
			break
		}
		parts = append(parts, fmt.Sprintf("%s %v", info.Name, info.Shape))
	}
	advice := "use the program that wrote them, or remove them if the reward does not need them"
	if i := slices.IndexFunc(unread, func(info weights.Info) bool {
		return looksLikeHead(info, c)
	}); i >= 0 {
		advice = headAdvice(unread[i].Name)
	}
	return fmt.Errorf("reward: %s: haf does not read the tensors %s of this %s model: %s; haf "+
		"inspect %s lists them",
		unread[0].File, strings.Join(parts, ", "), c.Family, advice, filepath.Dir(unread[0].File))
}

// headAdvice says how a tensor that may be a score head is made known as one.
func headAdvice(name string) string {
	root, named := strings.CutSuffix(name, ".weight")
	layer := ""
	if i := strings.LastIndexByte(root, '.'); i > 0 && isIndex(root[i+1:]) {
		root, layer = root[:i], root[i:]
	}
	if !named || layer != "" && layer != ".0" {
		return fmt.Sprintf("%s has the shape of a score head: if it is one, rename it to %s, or "+
			"to score.bias if it is a bias", name, lm.ScoreName)
	}
	return fmt.Sprintf("%s has the shape of a score head: if it is one, put "+
		"\"value_head_prefix\": %q into config.json, or rename it to score%s.weight", name, root,
		layer)
}

// mostLabels is the most outputs that a tensor may have to look like a score head.
const mostLabels = 4096

// looksLikeHead reports whether a tensor outside the blocks has the shape of a score head, [labels,
// hidden], or is a row or a bias of it by its name.
func looksLikeHead(info weights.Info, c *lm.Config) bool {
	if c.LayerOf(info.Name) != "" || strings.Contains(info.Name, ".layers.") ||
		len(info.Shape) == 0 {
		return false
	}
	if len(info.Shape) == 2 {
		return info.Shape[0] <= mostLabels && info.Shape[1] == c.Hidden
	}
	return len(info.Shape) == 1 && info.Shape[0] <= mostLabels && !strings.HasSuffix(info.Name,
		".bias")
}
