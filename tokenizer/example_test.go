package tokenizer_test

import (
	"fmt"

	"haf/tokenizer"
)

func ExampleParse() {
	t, err := tokenizer.Parse([]byte(`{
		"added_tokens": [],
		"model": {
			"type": "BPE", "vocab": {"a": 0, "b": 1, "c": 2, "ab": 3, "abc": 4},
			"merges": [["a", "b"], ["ab", "c"]]
		}
	}`))
	if err != nil {
		panic(err)
	}
	ids := t.Encode("abcab", false)
	token, _ := t.Token(ids[0])
	fmt.Println(ids, token)
	// Output: [4 3] abc
}
