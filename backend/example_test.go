package backend_test

import (
	"fmt"

	"haf/backend"
)

func ExampleOpen() {
	device, err := backend.Open("go") // pure Go: slow, and there on every machine
	if err != nil {
		panic(err)
	}
	fmt.Println(device.Kind())
	// Output: go
}
