package pref_test

import (
	"fmt"

	"haf/pref"
)

func ExampleSplitByPrompt() {
	var groups []pref.Group
	for i := range 10 {
		prompt := []pref.Message{{Role: pref.User, Content: fmt.Sprintf("question %d", i/2)}}
		groups = append(groups, pref.NewPair(prompt, "yes", "no", pref.Location{}))
	}
	rest, held := pref.SplitByPrompt(groups, 0.4, 1) // whole prompts: none is on both sides
	fmt.Println(len(rest), len(held), pref.Overlaps(rest, held).Exact)
	// Output: 6 4 0
}
