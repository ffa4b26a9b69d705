package train

import (
	"strings"
	"testing"

	"haf/pack"
)

// TestSizeWarning warns of steps half as large again as asked for, and names a size that helps.
func TestSizeWarning(t *testing.T) {
	if text := sizeWarning(pack.StepStats{Mean: 11}, 8, 2048); text != "" {
		t.Errorf("11 groups for 8: %q", text)
	}
	text := sizeWarning(pack.StepStats{Mean: 108}, 8, 2048)
	for _, want := range []string{"108 groups", "train.batch is 8", "tokens_per_batch = 128"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q lacks %q", text, want)
		}
	}
}
