//go:build linux && cgo

package backend

/*
#cgo LDFLAGS: -rdynamic
#include <stdint.h>
void haf_blocks(uint64_t *all, uint64_t *bytes, uint64_t *idle_bytes);
*/
import "C"

// blocks tells of the large memory blocks (blocks_linux.c): how many there are, their bytes, and the bytes of those
// that are kept for later.
func blocks() (n int, bytes, idle int64) {
	var all, total, kept C.uint64_t
	C.haf_blocks(&all, &total, &kept)
	return int(all), int64(total), int64(kept)
}
