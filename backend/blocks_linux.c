//go:build linux && cgo

// Large memory blocks that are kept when they are freed.
//
// XLA on CPU takes one arena of several gigabytes for each execution and gives it back at the end. glibc returns
// such a block to the kernel, which zeroes it again, page by page, at the next execution: 40 % of a training step.
// This file puts its own malloc family before glibc's. Small requests go on to glibc; a large one gets a block of huge
// pages that is kept after free and given to the next request of about its size. The plug-in is loaded after the
// program, so its calls find these functions first.

#define _GNU_SOURCE
#include <errno.h>
#include <features.h>

#ifdef __GLIBC__

#include <malloc.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

#define LARGE ((size_t)4 << 20)
#define HUGE_PAGE ((size_t)2 << 20)
#define MAX_BLOCKS 4096

// A block is idle while it is kept. Age counts the requests since it was freed.
typedef struct {
	char *start;
	size_t size;
	int used;
	uint64_t freed;
} block;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static block blocks[MAX_BLOCKS];
static int count;
static uint64_t requests;
// Bounds of all blocks there ever were: most pointers given to free are seen to be outside without the lock.
static char *lowest = (char *)UINTPTR_MAX, *highest;

// Idle blocks that so many requests have passed over are returned to the kernel.
static const uint64_t patience = 4096;

static void release(int i) {
	munmap(blocks[i].start, blocks[i].size);
	blocks[i] = blocks[--count];
}

// A block fits if at most a quarter of it is left over.
static int fits(const block *b, size_t size) {
	return !b->used && b->size >= size && b->size - size <= b->size / 4;
}

static void *take(size_t size) {
	size = (size + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
	pthread_mutex_lock(&lock);
	requests++;
	int best = -1;
	for (int i = 0; i < count; i++)
		if (fits(&blocks[i], size) && (best < 0 || blocks[i].size < blocks[best].size)) best = i;
	void *result = NULL;
	if (best >= 0) {
		blocks[best].used = 1;
		result = blocks[best].start;
	}
	for (int i = count - 1; i >= 0; i--)
		if (!blocks[i].used && requests - blocks[i].freed > patience) release(i);
	if (!result && count < MAX_BLOCKS) {
		// Some more is mapped so that the start can be put on a huge page.
		char *raw = mmap(NULL, size + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (raw == MAP_FAILED) {
			// Out of address space or of the memory that is allowed: what is idle goes first.
			for (int i = count - 1; i >= 0; i--)
				if (!blocks[i].used) release(i);
			raw = mmap(NULL, size + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		}
		if (raw != MAP_FAILED) {
			char *start = (char *)(((uintptr_t)raw + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1));
			if (start > raw) munmap(raw, start - raw);
			if (start + size < raw + size + HUGE_PAGE) munmap(start + size, raw + HUGE_PAGE - start);
			madvise(start, size, MADV_HUGEPAGE);
			blocks[count++] = (block){start, size, 1, 0};
			if (start < lowest) __atomic_store_n(&lowest, start, __ATOMIC_RELAXED);
			if (start + size > highest) __atomic_store_n(&highest, start + size, __ATOMIC_RELAXED);
			result = start;
		}
	}
	pthread_mutex_unlock(&lock);
	if (!result) errno = ENOMEM;
	return result;
}

static int outside(const void *p) {
	return (char *)p < __atomic_load_n(&lowest, __ATOMIC_RELAXED) || (char *)p >= __atomic_load_n(&highest, __ATOMIC_RELAXED);
}

static int find(const void *p) {
	for (int i = 0; i < count; i++)
		if (blocks[i].start == p) return i;
	return -1;
}

// give takes a block back; it returns 0 where p is none.
static int give(void *p) {
	if (outside(p)) return 0;
	pthread_mutex_lock(&lock);
	int i = find(p);
	if (i >= 0) {
		blocks[i].used = 0;
		blocks[i].freed = requests;
	}
	pthread_mutex_unlock(&lock);
	return i >= 0;
}

// size_of returns the size of a block, 0 where p is none.
static size_t size_of(const void *p) {
	if (!p || outside(p)) return 0;
	pthread_mutex_lock(&lock);
	int i = find(p);
	size_t size = i >= 0 ? blocks[i].size : 0;
	pthread_mutex_unlock(&lock);
	return size;
}

void *malloc(size_t size) { return size >= LARGE ? take(size) : __libc_malloc(size); }

void free(void *p) {
	if (p && !give(p)) __libc_free(p);
}

// A kept block is not zero, so large zeroed memory stays with glibc.
void *calloc(size_t n, size_t size) { return __libc_calloc(n, size); }

void *realloc(void *p, size_t size) {
	size_t before = size_of(p);
	if (!before) return __libc_realloc(p, size);
	if (size <= before && size > before / 2) return p;
	void *moved = malloc(size);
	if (!moved) return NULL;
	memcpy(moved, p, size < before ? size : before);
	free(p);
	return moved;
}

void *memalign(size_t alignment, size_t size) {
	return size >= LARGE && alignment <= HUGE_PAGE ? take(size) : __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void **out, size_t alignment, size_t size) {
	if (alignment % sizeof(void *) || alignment & (alignment - 1) || !alignment) return EINVAL;
	int before = errno;
	void *p = memalign(alignment, size);
	errno = before;
	if (!p) return ENOMEM;
	*out = p;
	return 0;
}

size_t malloc_usable_size(void *p) {
	size_t size = size_of(p);
	if (size || !p) return size;
	// glibc keeps the size of a chunk, with three flags, before it; one of those flags says that it was mapped.
	size_t chunk = ((size_t *)p)[-1];
	return (chunk & ~(size_t)7) - (chunk & 2 ? 2 : 1) * sizeof(size_t);
}

// haf_blocks counts the blocks and their bytes, and those that are idle.
void haf_blocks(uint64_t *all, uint64_t *bytes, uint64_t *idle_bytes) {
	*all = *bytes = *idle_bytes = 0;
	pthread_mutex_lock(&lock);
	for (int i = 0; i < count; i++) {
		(*all)++;
		*bytes += blocks[i].size;
		if (!blocks[i].used) *idle_bytes += blocks[i].size;
	}
	pthread_mutex_unlock(&lock);
}

#else

#include <stdint.h>

void haf_blocks(uint64_t *all, uint64_t *bytes, uint64_t *idle_bytes) { *all = *bytes = *idle_bytes = 0; }

#endif
