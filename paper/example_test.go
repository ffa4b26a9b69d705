package paper_test

import (
	"fmt"

	"haf/paper"
)

func ExampleGrid_Cells() {
	grid, err := paper.Parse("grid.toml", []byte(`
title = "A rerun"
seeds = [1, 2]
[recipe.model]
path = "base"
[[sets]]
name = "hh"
files = ["hh.jsonl"]
train = 20
valid = 10
test = 40
[[methods]]
name = "Baseline"
set = ["objective.policy_weight=0"]
reward = "score"
[[methods]]
name = "HaF"
reward = "score"
[[tables]]
name = "main"
kind = "in-distribution"
title = "In distribution"
`))
	if err != nil {
		panic(err)
	}
	cells, err := grid.Cells(nil, nil) // of all tables, before there is data
	if err != nil {
		panic(err)
	}
	for _, cell := range cells {
		fmt.Println(cell.Sets, cell.Seed, cell.Set)
	}
	// Output:
	// [hh] 1 [objective.policy_weight=0]
	// [hh] 2 [objective.policy_weight=0]
	// [hh] 1 []
	// [hh] 2 []
}
