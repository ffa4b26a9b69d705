package optim_test

import (
	"fmt"

	"haf/optim"
)

func ExampleAdamW_Rate() {
	settings := optim.AdamW{LR: 1e-3, Schedule: "linear", Warmup: 0.2}
	for _, step := range []int{0, 1, 2, 6} {
		fmt.Printf("%d %.6f\n", step, settings.Rate(step, 10))
	}
	// Output:
	// 0 0.000333
	// 1 0.000667
	// 2 0.001000
	// 6 0.000500
}
