package mesh_test

import (
	"fmt"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"

	"haf/backend"
	"haf/mesh"
)

// An Exec runs on one device or on many; the program is the same.
func ExampleExec() {
	device, err := backend.Open("go") // or "cpu,data=2,shard=2"
	if err != nil {
		fmt.Println(err)
		return
	}
	halve := mesh.NewExec(device, "halve", func(in []*graph.Node) []*graph.Node {
		return []*graph.Node{graph.DivScalar(in[0], 2)}
	})
	defer halve.Finalize()
	x, err := mesh.Put(device, dtypes.Float32, []int{2, 2}, []float32{1, 2, 3, 4})
	if err != nil {
		fmt.Println(err)
		return
	}
	out, err := halve.Call(x.Donate())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(out[0].Floats())
	// Output: [0.5 1 1.5 2] <nil>
}
