package source_test

import (
	"errors"
	"fmt"

	"haf/rewarder/source"
)

func ExampleParse() {
	for _, name := range []string{"runs/hh", "http://127.0.0.1:8080", "ftp://host/model"} {
		_, err := source.Parse(name)
		fmt.Println(name, source.IsModel(name), errors.Is(err, source.ErrName))
	}
	// Output:
	// runs/hh true false
	// http://127.0.0.1:8080 false false
	// ftp://host/model false true
}
