package remote_test

import (
	"fmt"

	"haf/remote"
)

func ExampleParseRanking() {
	ranks, ok := remote.ParseRanking("Both are polite. B answers the question.\nRanking: B > A = C", 3)
	fmt.Println(ranks, ok)
	// Output: [2 1 2] true
}
