//go:build cgo && linux && (amd64 || arm64)

package backend

/*
#include <stdlib.h>
#ifdef __GLIBC__
#include <gnu/libc-version.h>
static const char *haf_glibc(void) { return gnu_get_libc_version(); }
#else
static const char *haf_glibc(void) { return ""; }
#endif
*/
import "C"

// glibc is the version of the GNU C library that this process runs on, "" where it is another one.
func glibc() string { return C.GoString(C.haf_glibc()) }
