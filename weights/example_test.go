package weights_test

import (
	"fmt"
	"os"

	"haf/weights"
)

func ExampleWrite() {
	dir, err := os.MkdirTemp("", "haf-example-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	score := weights.Array{Name: "score.weight", Shape: []int{1, 2}, Data: []float32{0.5, -1}}
	if err := weights.Write(dir, weights.Lazy(score), weights.WriteOptions{}); err != nil {
		panic(err)
	}
	tensors, err := weights.Open(dir)
	if err != nil {
		panic(err)
	}
	defer tensors.Close()
	read, err := tensors.Read("score.weight")
	if err != nil {
		panic(err)
	}
	fmt.Println(tensors.Names(), read.Shape, read.Data)
	// Output: [score.weight] [1 2] [0.5 -1]
}
