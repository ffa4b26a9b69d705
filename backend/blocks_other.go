//go:build !(linux && cgo && (amd64 || arm64)) || asan || msan

package backend

// Release returns to the system the memory that is kept for the next execution on a CPU plug-in;
// here none is.
func Release() {}

// Trim returns to the system the small memory that freed programs left; here nothing is known of
// it.
func Trim() {}
