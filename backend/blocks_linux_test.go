//go:build linux && cgo && (amd64 || arm64) && !asan && !msan

package backend

import (
	"debug/elf"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"unsafe"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
)

const (
	kilo     = 1 << 10
	mega     = 1 << 20
	hugePage = 2 * mega
)

// keepsBlocks skips where blocks_linux.c does nothing by design: without glibc, and in a static
// program.
func keepsBlocks(t *testing.T) {
	t.Helper()
	self, err := elf.Open("/proc/self/exe")
	if err != nil {
		t.Skip(err)
	}
	defer self.Close()
	libraries, err := self.ImportedLibraries()
	if err != nil || !slices.Contains(libraries, "libc.so.6") {
		t.Skipf("not linked to glibc: %v, %v", libraries, err)
	}
}

// get returns memory of a size and alignment whose first and last bytes are written.
func get(t *testing.T, alignment, size int) unsafe.Pointer {
	t.Helper()
	p, errno := memory{}.alloc(alignment, size)
	if errno != 0 {
		t.Fatalf("%d bytes at %d: errno %d", size, alignment, errno)
	}
	if uintptr(p)%uintptr(alignment) != 0 {
		t.Errorf("%d bytes at %p, want a multiple of %d", size, p, alignment)
	}
	if got := (memory{}).size(p); got < size {
		t.Errorf("%d bytes can be used of %d at alignment %d", got, size, alignment)
	}
	if size > 0 {
		bytes := unsafe.Slice((*byte)(p), size)
		bytes[0], bytes[size-1] = 1, 2
	}
	return p
}

func TestProgramExportsAllocator(t *testing.T) {
	keepsBlocks(t)
	self, err := elf.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	symbols, err := self.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"malloc", "free", "realloc", "memalign", "aligned_alloc",
		"posix_memalign", "malloc_usable_size"} {
		if !slices.ContainsFunc(symbols, func(s elf.Symbol) bool {
			return s.Name == name &&
				s.Section != elf.SHN_UNDEF
		}) {
			t.Errorf("a plug-in would not find the program's %s", name)
		}
	}
}

func TestBlocksAreReused(t *testing.T) {
	keepsBlocks(t)
	Release()
	const size = 20 * mega
	first := get(t, 64, size)
	memory{}.free(first)
	kept := blocks()
	if kept.held-kept.used != size {
		t.Errorf("%+v, want the freed block kept", kept)
	}
	for i := range 10 {
		p := get(t, 64, size-i*kilo)
		if p != first {
			t.Fatalf("request %d got %p, want the kept block at %p", i, p, first)
		}
		memory{}.free(p)
	}
	if after := blocks(); after != kept {
		t.Errorf("%+v, want %+v", after, kept)
	}
	// A quarter may be left over, not more: a small result must not take the place of an arena.
	small := get(t, 64, size/2)
	if small == first {
		t.Error("a block went to a request of half its size")
	}
	memory{}.free(small)
	Release()
	if b := blocks(); b.held != b.used {
		t.Errorf("%+v after Release, want no idle block", b)
	}
}

func TestResizeKeepsContents(t *testing.T) {
	keepsBlocks(t)
	before := blocks()
	size := 3 * mega // with glibc, then a block, then larger ones, and back
	p := get(t, 64, size)
	fill := func(n int) {
		for i, b := 0, unsafe.Slice((*byte)(p), n); i < n; i += 509 {
			b[i] = byte(i / 509)
		}
	}
	fill(size)
	for _, next := range []int{5 * mega, 5*mega + 1, 9 * mega, 40 * mega, 30 * mega, 6 * mega, mega,
		7} {
		p = memory{}.resize(p, next)
		if p == nil {
			t.Fatalf("no memory for %d bytes", next)
		}
		same := min(size, next)
		for i, b := 0, unsafe.Slice((*byte)(p), same); i < same; i += 509 {
			if b[i] != byte(i/509) {
				t.Fatalf("from %d to %d bytes: byte %d is %d, want %d", size, next, i, b[i], byte(i/509))
			}
		}
		size = next
		fill(size)
	}
	memory{}.free(p)
	// The same from a block, whatever glibc made of the growth of its own memory.
	p = get(t, 64, 8*mega)
	size = 8 * mega
	fill(size)
	if p = (memory{}).resize(p, 24*mega); p == nil {
		t.Fatal("no memory")
	}
	for i, b := 0, unsafe.Slice((*byte)(p), size); i < size; i += 509 {
		if b[i] != byte(i/509) {
			t.Fatalf("byte %d of a grown block is %d, want %d", i, b[i], byte(i/509))
		}
	}
	if got := (memory{}).resize(p, 0); got != nil {
		t.Errorf("a block resized to nothing is at %p, want it freed, as glibc does", got)
	}
	if after := blocks(); after.used != before.used {
		t.Errorf("%d bytes used, %d before", after.used, before.used)
	}
}

func TestOddRequests(t *testing.T) {
	keepsBlocks(t)
	before := blocks()
	for _, alignment := range []int{8, 64, 4 * kilo, hugePage, 4 * hugePage} {
		for _, size := range []int{0, 1, 4*mega - 1, 4 * mega, 4*mega + 1, 6*mega + 1} {
			memory{}.free(get(t, alignment, size))
		}
	}
	memory{}.free(nil)
	if (memory{}).size(nil) != 0 {
		t.Error("nothing has a size")
	}
	// -1 is the largest size_t
	for _, size := range []int{-1, -hugePage, -2 * hugePage, 1<<63 - 1, 1<<63 - hugePage, 1 << 62} {
		if p, errno := (memory{}).alloc(64, size); errno != int(syscall.ENOMEM) {
			t.Errorf("%d bytes: %p, errno %d, want ENOMEM", size, p, errno)
		}
	}
	for _, alignment := range []int{0, 4, 24} {
		if p, errno := (memory{}).alloc(alignment, 8*mega); errno != int(syscall.EINVAL) {
			t.Errorf("alignment %d: %p, errno %d, want EINVAL", alignment, p, errno)
		}
	}
	// A kept block holds old contents, which must not come back as zeroed memory.
	dirty := get(t, 64, 8*mega)
	memory{}.free(dirty)
	zeroed := memory{}.zeroed(8 * mega)
	if b := unsafe.Slice((*byte)(zeroed), 8*mega); b[0] != 0 || b[len(b)-1] != 0 {
		t.Errorf("zeroed memory begins with %d and ends with %d", b[0], b[len(b)-1])
	}
	memory{}.free(zeroed)
	if after := blocks(); after.used != before.used {
		t.Errorf("%d bytes used, %d before", after.used, before.used)
	}
}

// Blocks that change hands all the time never have two owners.
func TestBlocksHaveOneOwner(t *testing.T) {
	keepsBlocks(t)
	Release()
	before := blocks()
	var wait sync.WaitGroup
	for worker := range 8 {
		wait.Go(func() {
			for range 20000 {
				p, errno := memory{}.alloc(64, 4*mega)
				if errno != 0 {
					t.Errorf("errno %d", errno)
					return
				}
				owner := (*int64)(p)
				atomic.StoreInt64(owner, int64(worker))
				if (memory{}).size(p) < 4*mega || atomic.LoadInt64(owner) != int64(worker) {
					t.Errorf("%p went to two workers", p)
					return
				}
				memory{}.free(p)
			}
		})
	}
	wait.Wait()
	if after := blocks(); after.used != before.used || after.held > before.held+8*4*mega {
		t.Errorf("%+v, want no block used and at most one a worker held; before: %+v", after, before)
	}
}

func TestBlocksInParallel(t *testing.T) {
	keepsBlocks(t)
	before := blocks()
	var wait sync.WaitGroup
	for worker := range 8 {
		wait.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(worker)))
			type piece struct {
				p     unsafe.Pointer
				size  int
				stamp byte
			}
			var pieces []piece
			whole := func(c piece, upTo int) bool {
				b := unsafe.Slice((*byte)(c.p), c.size)
				for i := 0; i < upTo; i += 64 * kilo {
					if b[i] != c.stamp {
						return false
					}
				}
				return true
			}
			stamp := func(c piece) piece {
				b := unsafe.Slice((*byte)(c.p), c.size)
				for i := 0; i < c.size; i += 64 * kilo {
					b[i] = c.stamp
				}
				return c
			}
			for round := range 300 {
				size := 1 + random.IntN(8*mega)
				switch {
				case len(pieces) < 4:
					p, errno := memory{}.alloc(64, size)
					if errno != 0 {
						t.Errorf("%d bytes: errno %d", size, errno)
						return
					}
					pieces = append(pieces, stamp(piece{p, size, byte(worker*31 + round)}))
				case random.IntN(2) == 0:
					c := pieces[0]
					if !whole(c, c.size) {
						t.Errorf("worker %d: %d bytes were written by another", worker, c.size)
						return
					}
					memory{}.free(c.p)
					pieces = pieces[1:]
				default:
					c := pieces[1]
					old := c.size
					c.p, c.size = memory{}.resize(c.p, size), size
					if !whole(c, min(old, size)) {
						t.Errorf("worker %d: resizing %d bytes to %d lost them", worker, old, size)
						return
					}
					pieces[1] = stamp(c)
				}
			}
			for _, c := range pieces {
				memory{}.free(c.p)
			}
		})
	}
	wait.Wait()
	if after := blocks(); after.used != before.used {
		t.Errorf("%d bytes used, %d before", after.used, before.used)
	}
}

func TestIdleBlocksAge(t *testing.T) {
	keepsBlocks(t)
	Release()
	const arena, small = 40 * mega, 8 * mega
	base := blocks().used
	memory{}.free(get(t, 64, arena))
	memory{}.free(get(t, 64, small)) // from now on all blocks hold base+arena+small
	held := base + arena + small
	if b := blocks(); b.held != held {
		t.Fatalf("%+v, want %d bytes held", b, held)
	}
	patient := int(8*held/small) - 1
	for range patient - 1 {
		memory{}.free(get(t, 64, small))
	}
	if b := blocks(); b.held != held {
		t.Errorf("%+v, want the idle block kept while eight times as much is asked for", b)
	}
	for range 3 {
		memory{}.free(get(t, 64, small))
	}
	if b := blocks(); b.held != held-arena {
		t.Errorf("%+v, want the block released that nobody asked for, %d bytes held", b, held-arena)
	}
	Release()
}

func TestIdleBlocksAreBounded(t *testing.T) {
	keepsBlocks(t)
	Release()
	most := int((blocks().most/hugePage + 4) * hugePage)
	// none fits in the one before, nor needs it
	for _, size := range []int{most, 2 * most, 4 * most, 8 * most} {
		p, errno := memory{}.alloc(64, size)
		if errno != 0 {
			t.Skipf("no address space for %d bytes", size)
		}
		memory{}.free(p)
		if b := blocks(); b.held > b.most+b.most/2 {
			t.Errorf("%+v after %d bytes, want at most half more than were ever used at once", b, size)
		}
	}
	if b := blocks(); b.held-b.used != int64(12*most) {
		t.Errorf("%d bytes idle, want the last two blocks, %d", b.held-b.used, 12*most)
	}
	Release()
}

// An execution's arena must be the one of the execution before.
func TestExecutionsShareArena(t *testing.T) {
	keepsBlocks(t)
	d := devices(t)["cpu"]
	if d == nil {
		t.Skip("no plug-in")
	}
	Release()
	const n, k, arena = 4096, 8, 4096 * 4096 * 4
	tall, wide := shapes.Make(dtypes.Float32, n, k), shapes.Make(dtypes.Float32, k, n)
	e, err := twoProducts(d, tall, wide)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Finalize()
	args := make([]compute.Buffer, 2)
	for i, shape := range []shapes.Shape{tall, wide} {
		if args[i], err = d.Backend.BufferFromFlatData(0, make([]float32, n*k), shape); err != nil {
			t.Fatal(err)
		}
		defer args[i].Finalize()
	}
	before := blocks()
	out := make([]float32, n*k)
	for range 10 {
		results, err := e.Execute(args, []bool{false, false}, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := results[0].ToFlatData(out); err != nil {
			t.Fatal(err)
		}
		if err := results[0].Finalize(); err != nil {
			t.Fatal(err)
		}
	}
	// The plug-in frees an arena some moments after the result is there: then two take turns.
	grown := blocks().held - before.held
	if grown < arena || grown > 2*arena+arena/2 {
		t.Errorf("ten executions with a temporary of %d bytes hold %d bytes", arena, grown)
	}
}

// twoProducts compiles (x·y)·x, whose first product is a large temporary.
func twoProducts(d *Device, tall, wide shapes.Shape) (compute.Executable, error) {
	b := d.Backend.Builder("products")
	f := b.Main()
	x, err := f.Parameter("x", tall, nil)
	if err != nil {
		return nil, err
	}
	y, err := f.Parameter("y", wide, nil)
	if err != nil {
		return nil, err
	}
	big, err := f.DotGeneral(x, []int{1}, nil, y, []int{0}, nil, compute.DotGeneralConfig{}) // [n, n]
	if err != nil {
		return nil, err
	}
	// [n, k]
	small, err := f.DotGeneral(big, []int{1}, nil, x, []int{0}, nil, compute.DotGeneralConfig{})
	if err != nil {
		return nil, err
	}
	if err := f.Return([]compute.Value{small}, nil); err != nil {
		return nil, err
	}
	return b.Compile()
}

// glibc keeps small memory as long as something behind it lives.
func TestTrimReturnsSmallMemory(t *testing.T) {
	keepsBlocks(t)
	const pieces, size = 2000, 100 * kilo
	var all []unsafe.Pointer
	for range pieces {
		all = append(all, get(t, 64, size))
		clear(unsafe.Slice((*byte)(all[len(all)-1]), size))
	}
	last := len(all) - 1
	for _, p := range all[:last] {
		memory{}.free(p)
	}
	before := resident(t)
	Trim()
	if freed := before - resident(t); freed < pieces*size/2 {
		t.Errorf("%d bytes went back to the system of %d that are free", freed, pieces*size)
	}
	memory{}.free(all[last])
}

// resident is the memory of this process that lies in RAM.
func resident(t *testing.T) int {
	t.Helper()
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(statm))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}
