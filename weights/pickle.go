package weights

import (
	"fmt"
	"path/filepath"
	"strings"
)

// pickles are the names of PyTorch's files of weights that are pickles.
var pickles = []string{"pytorch_model*.bin", "adapter_model*.bin", "value_head*.bin", "model*.bin",
	"*.pth", "*.pt"}

// refusePickle returns an error if a folder without safetensors has weights as pickles.
func refusePickle(dir string) error {
	for _, pattern := range pickles {
		found, err := filepath.Glob(filepath.Join(escapeGlob(dir), pattern))
		if err == nil && len(found) > 0 {
			return PickleError(found[0])
		}
	}
	return nil
}

// escapeGlob makes a folder's name stand for itself in a pattern.
func escapeGlob(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

// PickleError explains why haf does not read a PyTorch pickle, and how to convert it to
// safetensors.
func PickleError(path string) error {
	out := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	out = strings.Replace(out, "pytorch_model", "model", 1) + ".safetensors"
	return fmt.Errorf("weights: %s is a pickle, which can run any code when it is read: it is never "+
		"opened here. Convert it: "+
		`python3 -c "import torch, safetensors.torch as s; s.save_file({k: v.contiguous().clone() for k, v in torch.load('%s', weights_only=True).items()}, '%s', {'format': 'pt'})" in its folder`,
		path, filepath.Base(path), out)
}
