package pack

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"haf/encode"
	"haf/pref"
)

// randomGroups makes n groups of 1 to 5 responses with tokens that occur only once, so that a token
// tells its place. randomGroups have tokens of their own in every place but where responses begin
// alike.
func randomGroups(r *rand.Rand, n, longest int) []encode.Group {
	token := int32(10)
	fresh := func(n int) []int32 {
		ids := make([]int32, n)
		for i := range ids {
			token++
			ids[i] = token
		}
		return ids
	}
	length := func() int { return 1 + int(float64(longest)*r.Float64()*r.Float64()*r.Float64()) }
	groups := make([]encode.Group, n)
	for i := range groups {
		g := &groups[i]
		g.Prompt = fresh(length())
		for k := range 1 + r.IntN(5) {
			var begins []int32 // as another does, often, and some are nothing more
			if k > 0 && r.IntN(2) == 0 {
				like := g.Responses[r.IntN(k)].Tokens
				begins = like[:r.IntN(len(like)+1)]
			}
			if len(begins) == 0 || r.IntN(3) > 0 {
				begins = slices.Concat(begins, fresh(length()))
			}
			// The reward is read anywhere, and a part of the tokens counts.
			g.Responses = append(g.Responses,
				encode.Response{Tokens: begins, Policy: r.IntN(len(begins) + 1),
					Read: r.IntN(len(begins)+1) - 1})
		}
		for c := range g.Responses {
			for d := range c {
				if r.IntN(2) == 0 {
					g.Comparisons = append(g.Comparisons,
						pref.Comparison{Chosen: c, Rejected: d, Margin: r.Float64()})
				}
			}
		}
	}
	return groups
}

func newPlan(t testing.TB, groups []encode.Group, opt Options) *Packing {
	t.Helper()
	p, err := New(groups, opt)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// checkPlan checks everything that a plan and its batches promise, against the groups.
func checkPlan(t testing.TB, groups []encode.Group, opt Options, p *Packing) {
	t.Helper()
	opt, err := opt.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	long := 0
	lengths := map[int]bool{}
	for i, s := range p.Shapes {
		if s.Length%opt.RowMultiple != 0 || s.Predicted%opt.Chunk != 0 || s.Rows < 1 ||
			lengths[s.Length] {
			t.Fatalf("shape %d is %+v", i, s)
		}
		if s.ShortRows > 0 && (s.ShortLength%opt.RowMultiple != 0 || s.ShortLength >= s.Length ||
			s.Positions() > opt.roundLength(opt.Positions)) {
			t.Fatalf("shape %d is %+v", i, s)
		}
		lengths[s.Length] = true
		switch {
		case s.Length > opt.roundLength(opt.Positions):
			if long++; s.Rows != 1 {
				t.Fatalf("shape %d is longer than a batch and has %d rows", i, s.Rows)
			}
		case s.Positions() > opt.Positions+s.Length/2 && s.Rows > 1:
			t.Fatalf("shape %d, %+v, has more than %d positions", i, s, opt.Positions)
		}
	}
	regular := opt.MaxLengths // or a mix, and the longest
	if long > opt.MaxLengths || len(p.Shapes)-long > regular {
		t.Fatalf("%d shapes of up to %d positions and %d of more, want at most %d and %d",
			len(p.Shapes)-long, opt.Positions, long, regular, opt.MaxLengths)
	}
	seen := make([]int, len(groups))
	most := make([]Shape, len(p.Shapes))
	real := 0
	for i, planned := range p.Batches {
		b := p.Batch(i)
		if b.Shape != p.Shapes[planned.Shape] || len(planned.Rows) > b.Shape.NumRows() {
			t.Fatalf("batch %d: shape %+v, %d rows planned", i, b.Shape, len(planned.Rows))
		}
		for _, g := range b.Groups {
			seen[g]++
		}
		checkBatch(t, groups, b)
		real += b.Real
		m := &most[planned.Shape]
		predicted := 0
		for _, s := range b.Owner {
			if s >= 0 {
				predicted++
			}
		}
		responses := 0
		for _, s := range b.Slots {
			responses += len(s)
		}
		m.Predicted, m.Responses, m.Comparisons = max(m.Predicted, predicted),
			max(m.Responses, responses), max(m.Comparisons, b.NumComparisons)
	}
	for i, n := range seen {
		if n != 1 {
			t.Fatalf("group %d stands in %d rows", i, n)
		}
	}
	positions := 0
	for _, b := range p.Batches {
		positions += p.Shapes[b.Shape].Positions()
	}
	if want := float64(real) / float64(positions); p.Efficiency() != want {
		t.Fatalf("fill %v, want %v", p.Efficiency(), want)
	}
	for i, s := range p.Shapes {
		m := most[i]
		if !opt.PowerOfTwoSizes && (s.Responses != m.Responses || s.Comparisons != m.Comparisons ||
			s.Predicted != ceilDiv(m.Predicted, opt.Chunk)*opt.Chunk) {
			t.Fatalf("shape %d is %+v, the maxima are %+v", i, s, m)
		}
	}
}

// place is the row and column of a flat position.
func place(s Shape, flat int) (row, column int) {
	for row = range s.NumRows() {
		if first, length := s.Row(row); flat < first+length {
			return row, flat - first
		}
	}
	panic("no such position")
}

// checkBatch rebuilds every sequence of a batch from its arrays alone, as the model will, and
// compares.
func checkBatch(t testing.TB, groups []encode.Group, b *Batch) {
	t.Helper()
	n := b.Shape.Positions()
	for name, got := range map[string][2]int{
		"tokens": {len(b.Tokens), n}, "positions": {len(b.Positions), n}, "until": {len(b.Until), n},
		"predict": {len(b.Predict), b.Shape.Predicted}, "target": {len(b.Target), b.Shape.Predicted},
		"owner": {len(b.Owner), b.Shape.Predicted},
		"read":  {len(b.Read), b.Shape.Responses}, "chosen": {len(b.Chosen), b.Shape.Comparisons},
		"rejected": {len(b.Rejected), b.Shape.Comparisons},
		"weight":   {len(b.Weight), b.Shape.Comparisons}, "margin": {len(b.Margin), b.Shape.Comparisons},
		"slots": {len(b.Slots), len(b.Groups)},
	} {
		if got[0] != got[1] {
			t.Fatalf("%s has %d entries, want %d", name, got[0], got[1])
		}
	}
	// context is what a flat position sees, in order, itself included.
	context := func(flat int) (tokens, positions []int32) {
		row, i := place(b.Shape, flat)
		first, length := b.Shape.Row(row)
		for j := range length {
			if Visible(b, row, i, j) {
				tokens = append(tokens, b.Tokens[first+j])
				positions = append(positions, b.Positions[first+j])
			}
		}
		return tokens, positions
	}
	slots, predicted, compared, real := 0, 0, 0, 0
	for s, index := range b.Groups {
		g := &groups[index]
		real += g.Positions()
		if len(b.Slots[s]) != len(g.Responses) {
			t.Fatalf("group %d has slots %v for %d responses", index, b.Slots[s], len(g.Responses))
		}
		for k, response := range g.Responses {
			slot := b.Slots[s][k]
			if slot != slots {
				t.Fatalf("response %d of group %d has slot %d, want %d", k, index, slot, slots)
			}
			slots++
			// The token at which the reward is read sees all before it, as if the conversation stood alone.
			tokens, positions := context(int(b.Read[slot]))
			if want := slices.Concat(g.Prompt, response.Tokens[:response.Read+1]); !slices.Equal(tokens,
				want) {
				t.Fatalf("response %d of group %d sees %v, want %v", k, index, tokens, want)
			}
			for i, at := range positions {
				if at != int32(i) {
					t.Fatalf("response %d of group %d has positions %v", k, index, positions)
				}
			}
			// Every token is predicted where all before it, and nothing else, is seen.
			for i := response.Policy; i < len(response.Tokens); i++ {
				token := response.Tokens[i]
				if b.Owner[predicted] != int32(slot) || b.Target[predicted] != token {
					t.Fatalf("prediction %d is token %d of slot %d, want %d of %d", predicted, b.Target[predicted],
						b.Owner[predicted], token, slot)
				}
				if seen, _ := context(int(b.Predict[predicted])); !slices.Equal(seen,
					slices.Concat(g.Prompt, response.Tokens[:i])) {
					t.Fatalf("token %d of response %d of group %d is predicted from %v", i, k, index, seen)
				}
				predicted++
			}
		}
		for _, c := range g.Comparisons {
			if int(b.Chosen[compared]) != b.Slots[s][c.Chosen] ||
				int(b.Rejected[compared]) != b.Slots[s][c.Rejected] || b.Weight[compared] != 1 ||
				b.Margin[compared] != float32(c.Margin) {
				t.Fatalf("comparison %d is wrong", compared)
			}
			compared++
		}
	}
	if real != b.Real || compared != b.NumComparisons {
		t.Fatalf("real %d, want %d; comparisons %d, want %d", b.Real, real, b.NumComparisons, compared)
	}
	for _, owner := range b.Owner[predicted:] {
		if owner != -1 {
			t.Fatal("padding is predicted")
		}
	}
	for i := compared; i < len(b.Weight); i++ {
		if b.Weight[i] != 0 || b.Chosen[i] != 0 || b.Rejected[i] != 0 {
			t.Fatal("padding is compared")
		}
	}
	for flat := range n {
		if row, i := place(b.Shape, flat); !Visible(b, row, i, i) {
			t.Fatalf("position %d does not see itself", flat)
		}
	}
}

func TestPlanProperties(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		groups := randomGroups(r, 1+r.IntN(80), 10+r.IntN(150))
		opt := Options{Positions: 128 << r.IntN(4), MaxLengths: 1 + r.IntN(2),
			RowMultiple: 8 << r.IntN(3), Chunk: 1 << r.IntN(7), PowerOfTwoSizes: r.IntN(3) == 0}
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			p := newPlan(t, groups, opt)
			checkPlan(t, groups, opt, p)
			if again := newPlan(t, groups, opt); !reflect.DeepEqual(p, again) {
				t.Error("the same groups gave another plan")
			}
		})
	}
}

// TestVisible compares the mask with its definition: a token sees what stands before it in a
// sequence of its group, and itself.
func TestVisible(t *testing.T) {
	groups := randomGroups(rand.New(rand.NewPCG(7, 7)), 9, 20)
	continues := map[int32][]int32{}
	for _, g := range groups {
		for _, response := range g.Responses {
			whole := slices.Concat(g.Prompt, response.Tokens)
			for i, token := range whole {
				continues[token] = whole[:i+1]
			}
		}
	}
	p := newPlan(t, groups, Options{Positions: 128, RowMultiple: 16})
	for i := range p.Batches {
		b := p.Batch(i)
		for row := range b.Shape.NumRows() {
			first, length := b.Shape.Row(row)
			for i := range length {
				for j := range length {
					to, from := b.Tokens[first+i], b.Tokens[first+j]
					want := slices.Contains(continues[to], from)
					if to == 0 {
						want = i == j
					}
					if Visible(b, row, i, j) != want {
						t.Fatalf("row %d: %d sees %d: %v, want %v", row, i, j, !want, want)
					}
				}
			}
		}
	}
}

// TestPositions wants what responses begin with alike to be run once.
func TestPositions(t *testing.T) {
	for _, g := range randomGroups(rand.New(rand.NewPCG(8, 9)), 200, 60) {
		different := map[int32]bool{}
		for _, response := range g.Responses {
			for _, token := range slices.Concat(g.Prompt, response.Tokens) {
				different[token] = true
			}
		}
		if g.Positions() != len(different) {
			t.Errorf("prompt %v and responses %v take %d positions, want %d", g.Prompt, g.Responses,
				g.Positions(), len(different))
		}
	}
}

func sized(sizes ...int) []encode.Group {
	groups := make([]encode.Group, len(sizes))
	for i, n := range sizes {
		long, short := slices.Repeat([]int32{1}, n/4), slices.Repeat([]int32{2}, n/5)
		groups[i] = encode.Group{Prompt: make([]int32, n-n/4-n/5),
			Responses:   []encode.Response{encode.Answer(long), encode.Answer(short)},
			Comparisons: []pref.Comparison{{Chosen: 0, Rejected: 1}}}
	}
	return groups
}

func TestSmallSets(t *testing.T) {
	for _, c := range []struct {
		name   string
		sizes  []int
		shapes string // rows × length
		fill   float64
	}{
		{"one", []int{300}, "1×320", 0.93},
		{"three alike", []int{200, 210, 190}, "3×224", 0.89},
		{"three unlike", []int{100, 900, 60}, "1×928+1×160", 0.97},
		{"one huge", []int{4000}, "1×4000", 1},
		{"a huge one among others", []int{200, 4000, 210, 190}, "3×224 1×4000", 0.98},
		{"exactly a batch", []int{2048}, "1×2048", 1},
		{"smallest", []int{10}, "1×32", 0.31},
	} {
		p := newPlan(t, sized(c.sizes...), Options{})
		checkPlan(t, sized(c.sizes...), Options{}, p)
		var shapes []string
		for _, s := range p.Shapes {
			shapes = append(shapes, s.String())
		}
		if got := strings.Join(shapes, " "); got != c.shapes || p.Efficiency() < c.fill {
			t.Errorf("%s: %s, fill %.3f, want %s and %.3f", c.name, got, p.Efficiency(), c.shapes, c.fill)
		}
	}
}

// TestManyHuge wants few programs even where many groups, of many lengths, are longer than a batch.
func TestManyHuge(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	var sizes []int
	for range 60 {
		sizes = append(sizes, 600+r.IntN(1500))
	}
	p := newPlan(t, sized(sizes...), Options{Positions: 512})
	checkPlan(t, sized(sizes...), Options{Positions: 512}, p)
	if len(p.Shapes) != 2 || p.Efficiency() < 0.8 {
		t.Errorf("%v", p)
	}
}

func TestPlanErrors(t *testing.T) {
	good := sized(100)[0]
	for _, c := range []struct {
		change func(*encode.Group)
		want   string
	}{
		{func(g *encode.Group) { g.Prompt = nil }, "the prompt has no token"},
		{func(g *encode.Group) { g.Responses = nil }, "there is no response"},
		{func(g *encode.Group) { g.Responses = []encode.Response{encode.Answer([]int32{1}), {}} },
			"response 1 has no token"},
		{func(g *encode.Group) { g.Comparisons = []pref.Comparison{{Chosen: 0, Rejected: 2}} },
			"comparison 1: responses 0 and 2 are compared"},
	} {
		bad := good
		bad.Source = pref.Location{File: "x", Line: 3}
		c.change(&bad)
		if _, err := New([]encode.Group{good, bad}, Options{}); err == nil ||
			!strings.Contains(err.Error(), c.want) ||
			!strings.HasPrefix(err.Error(), "pack: x:3: group 1: ") {
			t.Errorf("error %v, want %q", err, c.want)
		}
	}
	if _, err := New(nil, Options{}); !errors.Is(err, encode.ErrEmpty) {
		t.Errorf("no groups: %v", err)
	}
	if _, err := New([]encode.Group{good}, Options{RowMultiple: -1}); err == nil ||
		!strings.Contains(err.Error(), "quantum is -1") {
		t.Errorf("negative quantum: %v", err)
	}
}

// TestReuse wants the plans of many small requests to meet in few shapes: hardly more for ten times
// the requests.
func TestReuse(t *testing.T) {
	shapes := map[Shape]bool{}
	count := func(from, to uint64) int {
		for seed := from; seed < to; seed++ {
			r := rand.New(rand.NewPCG(seed, 5))
			groups := randomGroups(r, 1+r.IntN(8), 200)
			for i := range groups {
				groups[i].Comparisons = nil
				groups[i].Responses = groups[i].Responses[:1]
			}
			p := newPlan(t, groups, Options{PowerOfTwoSizes: true, MaxLengths: 1})
			for _, s := range p.Shapes {
				shapes[s] = true
			}
		}
		return len(shapes)
	}
	some, more := count(0, 100), count(100, 1000)
	if some > 35 || more > 55 {
		t.Errorf("100 requests needed %d shapes, 1000 needed %d", some, more)
	}
	t.Logf("%d shapes, then %d", some, more)
}

func FuzzPlan(f *testing.F) {
	f.Add(uint64(1), uint16(20), uint16(50), uint16(256), uint8(2), uint8(64), uint8(128), false)
	f.Add(uint64(2), uint16(3), uint16(1), uint16(1), uint8(1), uint8(1), uint8(1), true)
	f.Add(uint64(3), uint16(40), uint16(300), uint16(7), uint8(3), uint8(5), uint8(9), true)
	f.Add(uint64(4), uint16(1), uint16(900), uint16(2000), uint8(9), uint8(200), uint8(3), false)
	// positions that are no multiple of the quantum
	f.Add(uint64(97), uint16(49), uint16(8), uint16(278), uint8(17), uint8(90), uint8(164), false)
	f.Fuzz(func(
		t *testing.T, seed uint64, n, longest, positions uint16, shapes, quantum, chunk uint8, reuse bool,
	) {
		groups := randomGroups(rand.New(rand.NewPCG(seed, 2)), 1+int(n)%50, 1+int(longest)%400)
		opt := Options{Positions: int(positions) % 4096, MaxLengths: int(shapes) % 3,
			RowMultiple: int(quantum), Chunk: int(chunk), PowerOfTwoSizes: reuse}
		checkPlan(t, groups, opt, newPlan(t, groups, opt))
	})
}

// TestCommonShapes: sets planned together stand in the same shapes, and nothing is lost.
func TestCommonShapes(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for range 40 {
		var sets [][]encode.Group
		for range 1 + r.IntN(3) {
			sets = append(sets, randomGroups(r, r.IntN(60), 1+r.IntN(200)))
		}
		sets = append(sets, randomGroups(r, 1, 20))
		opt := Options{Positions: 128 << r.IntN(3), MaxLengths: 1 + r.IntN(2), RowMultiple: 8,
			Chunk: 1 + r.IntN(9)}
		shapes, err := CommonShapes(opt, sets...)
		if err != nil {
			t.Fatal(err)
		}
		opt.Shapes = shapes
		for _, set := range sets {
			if len(set) == 0 {
				continue
			}
			p := newPlan(t, set, opt)
			seen := 0
			for i := range p.Batches {
				b := p.Batch(i)
				seen += len(b.Groups)
				if !slices.Contains(shapes, b.Shape) {
					t.Fatalf("shape %v is not one of %v", b.Shape, shapes)
				}
			}
			if seen != len(set) {
				t.Fatalf("%d of %d groups are planned", seen, len(set))
			}
		}
	}
}
