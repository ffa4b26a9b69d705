// Imports is a program that imports package backend and does not call its Main.
package main

import (
	"fmt"

	_ "haf/backend"
)

func main() { fmt.Println("its own main") }
