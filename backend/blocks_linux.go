//go:build linux && cgo && (amd64 || arm64) && !asan && !msan

package backend

/*
// The plug-in finds the functions of blocks_linux.c only if the program exports them.
#cgo LDFLAGS: -rdynamic -ldl
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
void haf_blocks(uint64_t out[4]);
void haf_release_blocks(void);
void haf_trim(void);
*/
import "C"

import "unsafe"

// Release returns to the system the memory that a CPU plug-in keeps for its next execution. Call it
// before work that needs less memory; [Device.Finalize] calls it too.
func Release() { C.haf_release_blocks() }

// Trim returns to the system the small blocks that compiled programs left when they were freed. The
// C library keeps them, so a process that opens model after model would grow. It takes some
// milliseconds.
func Trim() { C.haf_trim() }

// blockBytes counts the bytes of the large memory blocks (blocks_linux.c).
type blockBytes struct {
	count      int
	held, used int64 // in all blocks, and in those in use
	most       int64 // peak of used
}

func blocks() blockBytes {
	var out [4]C.uint64_t
	C.haf_blocks(&out[0])
	return blockBytes{int(out[0]), int64(out[1]), int64(out[2]), int64(out[3])}
}

// memory is the C allocator as C code sees it. It replaces glibc's, so it must be right for callers
// other than XLA too.
type memory struct{}

func (memory) alloc(alignment, size int) (p unsafe.Pointer, errno int) {
	errno = int(C.posix_memalign(&p, C.size_t(alignment), C.size_t(size)))
	return p, errno
}

func (memory) zeroed(size int) unsafe.Pointer { return C.calloc(1, C.size_t(size)) }

func (memory) resize(p unsafe.Pointer, size int) unsafe.Pointer {
	return C.realloc(p, C.size_t(size))
}

func (memory) size(p unsafe.Pointer) int { return int(C.malloc_usable_size(p)) }

func (memory) free(p unsafe.Pointer) { C.free(p) }
