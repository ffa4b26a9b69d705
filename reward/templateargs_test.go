package reward_test

import (
	"strings"
	"testing"

	"haf/reward"
)

// TestParseTemplateArgs reads JSON values and refuses what is none.
func TestParseTemplateArgs(t *testing.T) {
	args, err := reward.ParseTemplateArgs([]string{"a=false", `b="x=y"`, "a=[1, 2]"})
	if err != nil || len(args) != 2 || string(args["a"]) != "[1, 2]" || string(args["b"]) != `"x=y"` {
		t.Errorf("%s: %v", args, err)
	}
	if args, err := reward.ParseTemplateArgs(nil); args != nil || err != nil {
		t.Errorf("none gave %v: %v", args, err)
	}
	for text, want := range map[string]string{
		"a": "want NAME=VALUE", "=1": "want NAME=VALUE", "a=False": "is not JSON", "a=": "is not JSON",
	} {
		if _, err := reward.ParseTemplateArgs([]string{text}); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
