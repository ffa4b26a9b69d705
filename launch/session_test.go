package launch

import (
	"errors"
	"strings"
	"testing"
)

// TestExplainMemory adds advice to the error of a device without memory, and to no other.
func TestExplainMemory(t *testing.T) {
	full := errors.New("train: step 3: RESOURCE_EXHAUSTED: Out of memory")
	if err := explainMemory(full); !errors.Is(err, full) ||
		!strings.Contains(err.Error(), "haf train -plan") {
		t.Errorf("%v", err)
	}
	other := errors.New("train: step 3: NaN or Inf")
	if err := explainMemory(other); err != other {
		t.Errorf("%v", err)
	}
	if err := explainMemory(nil); err != nil {
		t.Errorf("%v", err)
	}
}
