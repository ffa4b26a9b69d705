//go:build linux && cgo && (amd64 || arm64) && !asan && !msan

// Large memory blocks that are kept when they are freed.
//
// XLA on a CPU takes one arena of several gigabytes for each execution and gives it back at the end. glibc returns
// such a block to the kernel, which zeroes it again, page by page, at the next execution: a quarter of a training
// step. This file puts its own functions before those of glibc's malloc that hand out or take back large memory. A
// small request goes on to glibc; a large one gets a block of huge pages that is kept after free and serves the
// next request of about its size. The plug-in is loaded after the program, so its calls find these functions first.
//
// Every block starts on a multiple of 2 MiB, which memory of glibc's hardly ever does: one test of a pointer keeps
// all small memory away from the lock. What is no block belongs to glibc, whoever asked for it and when; therefore
// calloc (a kept block is not zero), valloc, pvalloc and reallocarray need no counterpart here.

#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>

#ifdef __GLIBC__

#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

extern void *__libc_malloc(size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);
extern size_t __malloc_usable_size(void *) __attribute__((weak)); // there in a static program only

#define LARGE ((size_t)4 << 20)
#define HUGE_PAGE ((size_t)2 << 20)
#define MAX_BLOCKS 4096
#define ARENA ((size_t)64 << 20)

typedef struct {
	char *start;
	size_t size;
	int used;
	uint64_t freed; // what asked was when the block became idle
} block;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; // of all that follows; glibc's malloc is never called under it
static block blocks[MAX_BLOCKS];
static int count;
static uint64_t asked; // bytes of all large requests so far: the clock by which idle blocks age
static size_t held, in_use, most; // bytes of all blocks, of the used ones, and the most that were used at once

// release returns an idle block to the kernel. It fails where the kernel cannot split one of its mappings.
static int release(int i) {
	if (munmap(blocks[i].start, blocks[i].size)) return 0;
	held -= blocks[i].size;
	blocks[i] = blocks[--count];
	return 1;
}

static void release_idle(void) {
	for (int i = count - 1; i >= 0; i--)
		if (!blocks[i].used) release(i);
}

// trim releases the longest idle blocks: those that were passed over while eight times the bytes of all blocks were
// asked for, and as many as keep all blocks, with more bytes to come, under one and a half times the most that were
// ever used at once.
static void trim(size_t more) {
	size_t peak = in_use + more > most ? in_use + more : most;
	for (;;) {
		int oldest = -1;
		for (int i = 0; i < count; i++)
			if (!blocks[i].used && (oldest < 0 || blocks[i].freed < blocks[oldest].freed)) oldest = i;
		if (oldest < 0) return;
		if (asked - blocks[oldest].freed <= 8 * (uint64_t)held && held + more <= peak + peak / 2) return;
		if (!release(oldest)) return;
	}
}

// map makes a block and returns its index, or -1.
static int map(size_t size) {
	if (count == MAX_BLOCKS) return -1;
	// A huge page more is mapped and cut off again, so that the start is on a multiple of one.
	size_t all = size + HUGE_PAGE;
	char *raw = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (raw == MAP_FAILED) return -1;
	char *start = (char *)(((uintptr_t)raw + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1));
	size_t head = start - raw;
	if (head) munmap(raw, head);
	munmap(start + size, HUGE_PAGE - head);
	madvise(start, size, MADV_HUGEPAGE);
	held += size;
	blocks[count] = (block){.start = start, .size = size};
	return count++;
}

// fits: at most a quarter of the block may be left over.
static int fits(const block *b, size_t size) {
	return !b->used && b->size >= size && b->size - size <= b->size / 4;
}

static void *our_malloc(size_t);
void *malloc(size_t size) __attribute__((weak, alias("our_malloc")));

// take returns a block for a large request, NULL where glibc must serve it: no room, or a program in which malloc is
// not the one here. That is so in a static one, where the C library's strong symbols replace these weak ones.
static void *take(size_t size) {
	if (malloc != our_malloc || size > PTRDIFF_MAX - 2 * HUGE_PAGE) return NULL;
	size = (size + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
	pthread_mutex_lock(&lock);
	asked += size;
	int best = -1, mapped = 0;
	for (int i = 0; i < count; i++)
		if (fits(&blocks[i], size) && (best < 0 || blocks[i].size < blocks[best].size)) best = i;
	if (best < 0) {
		trim(size);
		best = map(size);
		mapped = 1;
	}
	if (best < 0) { // no memory or no place in the table: what is idle goes first
		release_idle();
		best = map(size);
	}
	void *start = NULL;
	if (best >= 0) {
		start = blocks[best].start;
		blocks[best].used = 1;
		in_use += blocks[best].size;
		if (in_use > most) most = in_use;
	}
	trim(0);
	pthread_mutex_unlock(&lock);
	// A new arena of this size comes with a new program, and compiling one leaves glibc with up to a gigabyte of small free memory.
	if (mapped && size >= ARENA) malloc_trim(0);
	return start;
}

// find returns the index of a used block, -1 where p is none.
static int find(const void *p) {
	for (int i = 0; i < count; i++)
		if (blocks[i].start == p && blocks[i].used) return i;
	return -1;
}

static int aligned(const void *p) { return p && !((uintptr_t)p & (HUGE_PAGE - 1)); }

// give takes a block back; it returns 0 where p is none.
static int give(void *p) {
	if (!aligned(p)) return 0;
	pthread_mutex_lock(&lock);
	int i = find(p);
	if (i >= 0) {
		blocks[i].used = 0;
		blocks[i].freed = asked;
		in_use -= blocks[i].size;
	}
	pthread_mutex_unlock(&lock);
	return i >= 0;
}

// size_of returns the size of a block, 0 where p is none.
static size_t size_of(const void *p) {
	if (!aligned(p)) return 0;
	pthread_mutex_lock(&lock);
	int i = find(p);
	size_t size = i >= 0 ? blocks[i].size : 0;
	pthread_mutex_unlock(&lock);
	return size;
}

static void *our_malloc(size_t size) {
	void *p = size >= LARGE ? take(size) : NULL;
	return p ? p : __libc_malloc(size);
}

__attribute__((weak)) void free(void *p) {
	if (!give(p)) __libc_free(p);
}

__attribute__((weak)) void *realloc(void *p, size_t size) {
	size_t before = size_of(p);
	if (!before) return p ? __libc_realloc(p, size) : malloc(size); // glibc grows its own without a copy
	if (!size) { // as glibc does
		free(p);
		return NULL;
	}
	if (size <= before && size > before / 2) return p;
	void *moved = malloc(size);
	if (!moved) return NULL;
	memcpy(moved, p, size < before ? size : before);
	free(p);
	return moved;
}

__attribute__((weak)) void *memalign(size_t alignment, size_t size) {
	void *p = size >= LARGE && alignment <= HUGE_PAGE ? take(size) : NULL;
	return p ? p : __libc_memalign(alignment, size);
}

__attribute__((weak)) void *aligned_alloc(size_t alignment, size_t size) {
	if (!alignment || alignment & (alignment - 1)) {
		errno = EINVAL;
		return NULL;
	}
	return memalign(alignment, size);
}

__attribute__((weak)) int posix_memalign(void **out, size_t alignment, size_t size) {
	if (!alignment || alignment & (alignment - 1) || alignment % sizeof(void *)) return EINVAL;
	int before = errno;
	void *p = memalign(alignment, size);
	errno = before;
	if (!p) return ENOMEM;
	*out = p;
	return 0;
}

__attribute__((weak)) size_t malloc_usable_size(void *p) {
	size_t size = size_of(p);
	if (size || !p) return size;
	size_t (*glibc)(void *) = __malloc_usable_size;
	if (!glibc) glibc = (size_t(*)(void *))dlsym(RTLD_NEXT, "malloc_usable_size");
	return glibc ? glibc(p) : 0;
}

// Go starts programs without running C in the child, but a plug-in may fork, and glibc's malloc works after a fork.
static void before_fork(void) { pthread_mutex_lock(&lock); }
static void after_fork(void) { pthread_mutex_unlock(&lock); }
__attribute__((constructor)) static void watch_forks(void) { pthread_atfork(before_fork, after_fork, after_fork); }

void haf_release_blocks(void) {
	pthread_mutex_lock(&lock);
	release_idle();
	pthread_mutex_unlock(&lock);
}

// haf_trim returns what glibc keeps of freed small memory: its arenas, one for each thread that compiles, grow otherwise
// with every program, for a few live bytes at the end of one hold all that is free below them.
void haf_trim(void) { malloc_trim(0); }

// haf_blocks tells the number of the blocks, their bytes, those of the used ones, and the most of these ever.
void haf_blocks(uint64_t out[4]) {
	pthread_mutex_lock(&lock);
	out[0] = count, out[1] = held, out[2] = in_use, out[3] = most;
	pthread_mutex_unlock(&lock);
}

#else // another C library

void haf_release_blocks(void) {}
void haf_trim(void) {}
void haf_blocks(uint64_t out[4]) { out[0] = out[1] = out[2] = out[3] = 0; }

#endif
