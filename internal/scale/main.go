// Scale predicts the time, memory and traffic of training steps on GPUs that nobody has tried, from
// haf's counts of operations and memory and the rates that were measured, and writes them as a page
// of the documentation.
package main

import (
	"flag"
	"fmt"
	"os"

	"haf/internal/durable"
)

func main() {
	path := flag.String("page", "docs/concepts/scale.md", "file of the page")
	flag.Parse()
	text, err := page()
	if err == nil {
		err = durable.WriteFile(*path, []byte(text))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}
