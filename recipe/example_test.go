package recipe_test

import (
	"fmt"

	"haf/recipe"
)

func ExampleLoad() {
	r, err := recipe.Load("", []string{
		"model.path=base", "data.train=pairs.jsonl", "train.lr=1e-5",
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(r.Train.LR, r.Data.Train)
	_, err = recipe.Load("", []string{"model.path=base", "train.rate=1e-5"})
	fmt.Println(err != nil) // an unknown key is refused
	// Output:
	// 1e-05 [pairs.jsonl]
	// true
}
