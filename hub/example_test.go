package hub_test

import (
	"fmt"

	"haf/hub"
)

func ExampleParseRef() {
	for _, text := range []string{
		"Qwen/Qwen2.5-0.5B-Instruct@main", "datasets/Anthropic/hh-rlhf/helpful-base/train.jsonl.gz",
	} {
		ref, err := hub.ParseRef(text)
		if err != nil {
			panic(err)
		}
		fmt.Printf("%t %s %q %q\n", ref.Dataset, ref.ID, ref.File, ref.Revision)
	}
	// Output:
	// false Qwen/Qwen2.5-0.5B-Instruct "" "main"
	// true Anthropic/hh-rlhf "helpful-base/train.jsonl.gz" "main"
}
