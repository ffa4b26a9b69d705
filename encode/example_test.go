package encode_test

import (
	"fmt"

	"haf/encode"
)

func ExampleNewGroup() {
	// Two answers to one prompt of three tokens, which stands in the group once.
	answers := []encode.Conversation{
		{Tokens: []int32{1, 7, 8, 20, 21, 2}, Response: 3, Read: 5},
		{Tokens: []int32{1, 7, 8, 30, 2}, Response: 3, Read: 4},
	}
	group := encode.NewGroup(answers, 3)
	fmt.Println("prompt", group.Prompt)
	for _, r := range group.Responses {
		fmt.Println("response", r.Tokens, "read at", r.Read)
	}
	// Output:
	// prompt [1 7 8]
	// response [20 21 2] read at 2
	// response [30 2] read at 1
}
