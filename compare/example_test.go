package compare_test

import (
	"fmt"

	"haf/compare"
)

// A comparison names its settings as tables do.
func ExampleSetting() {
	fmt.Println(compare.Setting{Method: compare.HaF, Alpha: 0.2, LR: 3e-4})
	fmt.Println(compare.DefaultDir("datasets/Anthropic/hh-rlhf"))
	// Output:
	// HaF, α 0.2, learning rate 0.0003
	// runs/compare-hh-rlhf
}
