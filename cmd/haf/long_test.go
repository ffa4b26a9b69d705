package main

import "testing"

// long leaves a test out of `make test`, which is to stay short. `make test-long` runs it.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("it takes long: make test-long runs it")
	}
}
