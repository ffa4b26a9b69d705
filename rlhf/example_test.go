package rlhf_test

import (
	"fmt"

	"haf/rlhf"
)

func ExampleLeaveOneOut() {
	// Each reward less the mean of the others.
	fmt.Println(rlhf.LeaveOneOut([]float64{1, 2, 6}))
	// Output: [-3 -1.5 4.5]
}

func ExampleGAE() {
	// One reward at the end of three tokens.
	advantages, returns := rlhf.GAE([]float64{0, 0, 1}, []float64{0.5, 0.5, 0.5}, 1, 1)
	fmt.Println(advantages, returns)
	// Output: [0.5 0.5 0.5] [1 1 1]
}
