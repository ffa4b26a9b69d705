package recipes_test

import (
	"fmt"

	"haf/recipes"
)

// A program that offers recipes lists their names.
func ExampleList() {
	for _, r := range recipes.List() {
		if r.Verb == "rlhf" {
			fmt.Println("haf", r.Verb, r.Name)
		}
	}
	// Output: haf rlhf rlhf-small
}
