package chat_test

import (
	"fmt"

	"haf/chat"
)

func ExampleTemplate_Render() {
	template, err := chat.Named("mistral", "<s>", "</s>")
	if err != nil {
		panic(err)
	}
	text, err := template.Render([]chat.Message{
		{Role: "user", Content: "What does the fox eat?"},
		{Role: "assistant", Content: "Mice."},
	}, false)
	if err != nil {
		panic(err)
	}
	fmt.Println(text)
	// Output: <s>[INST] What does the fox eat? [/INST]Mice.</s>
}
