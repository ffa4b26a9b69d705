package pack_test

import (
	"fmt"

	"haf/encode"
	"haf/pack"
)

func ExampleNew() {
	var groups []encode.Group
	for i := range 8 {
		// a prompt of 8 tokens with two responses, the second of them longer in later groups
		one, two := make([]int32, 8+4), make([]int32, 8+4+i)
		groups = append(groups, encode.NewGroup([]encode.Conversation{
			{Tokens: one, Response: 8, Read: len(one) - 1},
			{Tokens: two, Response: 8, Read: len(two) - 1},
		}, 8))
	}
	packing, err := pack.New(groups, pack.Options{Positions: 128})
	if err != nil {
		panic(err)
	}
	fmt.Printf("%v, %d batches, %.2f of the positions hold tokens\n", packing.Shapes,
		len(packing.Batches), packing.Efficiency())
	// Output: [4×32], 1 batches, 0.97 of the positions hold tokens
}
