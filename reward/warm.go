package reward

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"haf/encode"
	"haf/pack"
	"haf/pref"
)

// ErrTooLong is wrapped by the error of an input that is longer than a [Warm] model reads.
var ErrTooLong = errors.New("too long")

// WarmOptions say what a model is made ready for.
type WarmOptions struct {
	// Rewards are the names of those that are given, the first is the default; none: those of the trained heads.
	Rewards []string
	// MaxLength is the most tokens of prompt and response together. 0 is what the model was trained with, which cuts longer
	// ones by the model's policy, or else the smaller of 4096 and the positions that the model has.
	MaxLength int
	// Before is what the model takes the place of, nil for nothing: where the programs of both are the same, it takes them over.
	Before *Warm
	// Progress, if not nil, is told of programs compiled.
	Progress func(done, total int)
}

// A Warm is a model with all its programs compiled, so that none is while somebody waits: its batches have one of a few
// fixed shapes. It reads several rewards of inputs, encoded beforehand, at once. Its rewards are those of [Model.Rewards] to float
// rounding. It is safe for concurrent use; one batch runs at a time.
type Warm struct {
	model     *Model
	rewards   []string
	reference *Reference // nil where no implicit reward is given
	beta      float64
	// combination is nil where the combined reward is not given.
	combination *Combination
	shapes      []pack.Shape
	longest     int // tokens
	row         int // positions of a row that groups are packed into

	mu       sync.Mutex // of encoders
	encoders map[string]*encode.Encoder
	unclosed sync.Once // the warning of texts that end before their turn does
}

// Sizes of the shapes of a [Warm]: single rows double from shortestRow to the longest input; several rows are a quarter longer than
// that, so that what is left of one is of use, and at most of commonRow.
const (
	shortestRow   = 64
	commonRow     = 1024
	defaultLength = 4096
	slotPositions = 8  // a response slot for so many positions
	leastSlots    = 16 // and so many at least
)

// Warm makes the model ready to serve: it opens the reference where an implicit reward is asked for, and compiles every
// program. The model's Close ends it.
func (m *Model) Warm(ctx context.Context, opt WarmOptions) (*Warm, error) {
	w := &Warm{model: m, rewards: opt.Rewards}
	if len(w.rewards) == 0 {
		w.rewards = m.TrainedRewards()
	}
	for _, name := range w.rewards {
		if err := CheckReward(name); err != nil {
			return nil, err
		}
		var err error
		if name == ByCombined {
			var c Combination
			if c, err = m.Combination(); err != nil {
				return nil, err
			}
			w.combination = &c
		}
		if name == ByScore || w.reference != nil {
			continue
		}
		if w.beta, err = m.beta(); err != nil {
			return nil, err
		}
		if w.reference, err = m.Reference(""); err != nil {
			return nil, err
		}
	}
	positions := m.Config.MaxPositions
	switch w.longest = opt.MaxLength; {
	case w.longest == 0 && m.Meta.MaxLength > 0:
		w.longest = m.Meta.MaxLength
	case w.longest == 0 && positions > 0:
		w.longest = min(positions, defaultLength)
	case w.longest == 0:
		w.longest = defaultLength
	case positions > 0 && w.longest > max(positions, m.Meta.MaxLength):
		return nil, fmt.Errorf("reward: inputs of %d tokens are asked for, the model has positions for %d: give a smaller max length", w.longest, positions)
	}
	w.setShapes()
	if b := opt.Before; b != nil && slices.Equal(b.shapes, w.shapes) && slices.Equal(b.rewards, w.rewards) {
		if all, err := m.adopt(b.model); all || err != nil {
			return w, err
		}
	}
	return w, w.compile(ctx, opt.Progress)
}

// setShapes chooses the shapes: single rows of every length, and more rows of the common one, up to a packed batch's positions.
func (w *Warm) setShapes() {
	add := func(rows, length int) {
		n := rows * length
		w.shapes = append(w.shapes, pack.Shape{Rows: rows, Length: length, Predicted: n, Responses: max(leastSlots, n/slotPositions)})
	}
	round := func(n int) int { return shortestRow * ((n + shortestRow - 1) / shortestRow) }
	longest := round(w.longest)
	w.row = min(commonRow, round(w.longest*5/4), max(shortestRow, w.model.positions/shortestRow*shortestRow))
	for length := shortestRow; length < max(longest, w.row); length *= 2 {
		if length != w.row && length != longest {
			add(1, length)
		}
	}
	add(1, w.row)
	if longest > w.row {
		add(1, longest)
	}
	most := w.model.positions / w.row
	for rows := 2; rows < most; rows *= 2 {
		add(rows, w.row)
	}
	if most > 1 {
		add(most, w.row)
	}
}

// The classes of items: what is read of them.
const (
	classScore = iota // the score head
	classBoth         // both heads, token by token, and the reference
)

// compile runs every program once.
func (w *Warm) compile(ctx context.Context, progress func(done, total int)) error {
	classes := []int{classScore}
	switch {
	case w.reference != nil && slices.Contains(w.rewards, ByScore):
		classes = []int{classScore, classBoth}
	case w.reference != nil:
		classes = []int{classBoth}
	}
	tiny := []encode.Group{{Prompt: []int32{0}, Responses: []encode.Response{encode.Answer([]int32{0})}}}
	for i, shape := range w.shapes {
		for j, class := range classes {
			if err := ctx.Err(); err != nil {
				return err
			}
			plan, err := pack.IntoShapes(tiny, []pack.Shape{shape})
			if err != nil {
				return fmt.Errorf("reward: %w", err)
			}
			if _, err := w.batch(plan.Batch(0), class); err != nil {
				return err
			}
			if progress != nil {
				progress(i*len(classes)+j+1, len(w.shapes)*len(classes))
			}
		}
	}
	return nil
}

// Rewards names the rewards that are given, the default first.
func (w *Warm) Rewards() []string { return w.rewards }

// MaxLength is the most tokens of prompt and response.
func (w *Warm) MaxLength() int { return w.longest }

// Capacity is the number of tokens that some of the largest batches have room for: planned together they are fuller than one by one.
func (w *Warm) Capacity() int {
	const together = 4
	n := 0
	for _, s := range w.shapes {
		n = max(n, s.Positions())
	}
	return together * n
}

// Next chooses the items of one packed batch, by index: the more urgent first, and with them what fills it best.
func (w *Warm) Next(items []pref.Item, urgency []int) ([]int, error) {
	groups, at, _, err := w.gather(items)
	if err != nil {
		return nil, err
	}
	of := make([]int, len(groups)) // that of the group's most urgent item
	for i, p := range at {
		of[p.group] = max(of[p.group], urgency[i])
	}
	chosen, err := pack.Next(groups, w.shapes, of)
	if err != nil {
		return nil, fmt.Errorf("reward: %w", err)
	}
	var out []int
	for i, p := range at {
		if slices.Contains(chosen, p.group) {
			out = append(out, i)
		}
	}
	return out, nil
}

// warmItem is an encoded input.
type warmItem struct {
	encode.Conversation
	truncated bool
	key       string // of the prompt's tokens
	class     int
}

func (i *warmItem) PromptKey() string { return i.key }
func (i *warmItem) Len() (prompt, response int) {
	return i.Response, len(i.Tokens) - i.Response
}
func (i *warmItem) Truncated() bool { return i.truncated }
func (i *warmItem) Class() int      { return i.class }

// Encode makes an input ready to be read. names are the rewards that will be asked of it, tokens says that those of single tokens
// will. An error wraps [ErrTooLong] where the input is longer than the model reads.
func (w *Warm) Encode(in pref.Input, names []string, tokens bool) (pref.Item, error) {
	item := &warmItem{class: classScore}
	for _, name := range names {
		if !slices.Contains(w.rewards, name) {
			return nil, fmt.Errorf("reward: reward %q is not served of this model, which has %v", name, w.rewards)
		}
		if name != ByScore {
			item.class = classBoth
		}
	}
	if tokens {
		if w.reference == nil {
			return nil, fmt.Errorf("reward: rewards of single tokens are parts of the implicit reward, which is not served of this model; it has %v", w.rewards)
		}
		item.class = classBoth
	}
	for _, id := range in.Tokens {
		if id < 0 || int(id) >= w.model.Config.Vocab {
			return nil, fmt.Errorf("reward: token %d is not in the vocabulary, which has 0 to %d", id, w.model.Config.Vocab-1)
		}
	}
	encoder, err := w.encoderWith(in.TemplateArgs)
	switch {
	case err != nil:
		return nil, err
	case in.Verbatim():
		w.checkClosing(in.Text)
		item.Conversation, item.truncated, err = encoder.Verbatim(in, item.class == classBoth)
	default:
		item.Conversation, item.truncated, err = encoder.Conversation(in.Prompt, in.Response)
	}
	if errors.Is(err, encode.ErrDropped) {
		return nil, fmt.Errorf("reward: %w: %w", ErrTooLong, err)
	}
	if err != nil {
		return nil, fmt.Errorf("reward: %w", err)
	}
	whole := []encode.Group{encode.NewGroup([]encode.Conversation{item.Conversation}, len(item.Tokens))}
	if err := w.model.CheckIDs(whole); err != nil {
		return nil, err
	}
	if n := len(item.Tokens); n > w.longest {
		return nil, fmt.Errorf("reward: %w: %d tokens, this model reads up to %d", ErrTooLong, n, w.longest)
	}
	key := make([]byte, 0, 4*item.Response)
	for _, id := range item.Tokens[:item.Response] {
		key = binary.LittleEndian.AppendUint32(key, uint32(id))
	}
	item.key = string(key)
	return item, nil
}

// mostEncoders bounds the sets of template variables whose encoders are kept.
const mostEncoders = 64

// encoderWith is the encoder with the template's variables, made once for each set of them.
func (w *Warm) encoderWith(args map[string]json.RawMessage) (*encode.Encoder, error) {
	if len(args) == 0 {
		return w.model.Encoder, nil
	}
	key, err := json.Marshal(args)
	if err != nil {
		return nil, fmt.Errorf("reward: variables of the chat template: %w", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if e := w.encoders[string(key)]; e != nil {
		return e, nil
	}
	e, err := w.model.EncoderWith(args)
	if err != nil {
		return nil, err
	}
	if w.encoders == nil || len(w.encoders) == mostEncoders {
		w.encoders = map[string]*encode.Encoder{}
	}
	w.encoders[string(key)] = e
	return e, nil
}

// checkClosing warns, once, of a text that does not end as the template ends a turn: it is read as it stands, so its reward is
// not that of the same conversation as messages.
func (w *Warm) checkClosing(text string) {
	end := strings.TrimSpace(w.model.Encoder.Closing())
	if text == "" || strings.HasSuffix(strings.TrimSpace(text), end) {
		return
	}
	w.unclosed.Do(func() {
		slog.Warn("a text does not end as the chat template ends a turn: it is read as it stands, so its reward differs from that of "+
			"the same conversation as messages; this is said once", "model", w.model.Dir, "end of a turn", end)
	})
}

// Read gives the items their values, in order. They are of one class and of this model.
func (w *Warm) Read(ctx context.Context, items []pref.Item) ([]pref.Values, error) {
	if len(items) == 0 {
		return nil, nil
	}
	groups, at, class, err := w.gather(items)
	if err != nil {
		return nil, err
	}
	plan, err := pack.IntoShapes(groups, w.shapes)
	if err != nil {
		return nil, fmt.Errorf("reward: %w", err)
	}
	of := make([][]pref.Values, len(groups)) // by group and response
	for i := range plan.Batches {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		b := plan.Batch(i)
		values, err := w.batch(b, class)
		if err != nil {
			return nil, err
		}
		for j, g := range b.Groups {
			for _, slot := range b.Slots[j] {
				of[g] = append(of[g], values[slot])
			}
		}
	}
	out := make([]pref.Values, len(items))
	for i, p := range at {
		out[i] = of[p.group][p.response]
	}
	return out, nil
}

// gather makes groups of items that begin alike, none longer than a common row or with more responses than its slots. A score
// is read at one token alone, so whatever two items have in common is run once; a log-probability is that of the response, so
// there the prompt is what is shared.
func (w *Warm) gather(items []pref.Item) (groups []encode.Group, at []place, class int, err error) {
	at = make([]place, len(items))
	warm := make([]*warmItem, len(items))
	for i, it := range items {
		item, ok := it.(*warmItem)
		if !ok || item.class != items[0].Class() {
			return nil, nil, 0, fmt.Errorf("reward: item %d was not encoded for this batch: %T of class %d, want *reward.warmItem of class %d", i+1, it, it.Class(), items[0].Class())
		}
		warm[i] = item
	}
	var members []cluster
	if class = items[0].Class(); class == classScore {
		members = w.byBeginning(warm)
	} else {
		members = w.byPrompt(warm)
	}
	for g, m := range members {
		conversations := make([]encode.Conversation, len(m.items))
		for k, i := range m.items {
			at[i], conversations[k] = place{g, k}, warm[i].Conversation
			if class == classScore {
				conversations[k].Response = len(warm[i].Tokens) // no token is predicted, so any may be shared
			}
		}
		groups = append(groups, encode.NewGroup(conversations, m.shared))
	}
	return groups, at, class, nil
}

// A cluster is some items, by index, that have their first tokens in common.
type cluster struct {
	items  []int
	shared int // tokens
	sum    int // tokens of all items
}

// positions is what is run for the cluster.
func (c cluster) positions() int { return c.sum - (len(c.items)-1)*c.shared }

// with is the cluster with one more item of n tokens, of which common are those of the cluster's items, too.
func (c cluster) with(i, n, common int) cluster {
	return cluster{append(slices.Clip(c.items), i), min(c.shared, common, n-1), c.sum + n}
}

// byPrompt clusters items of one prompt.
func (w *Warm) byPrompt(items []*warmItem) (out []cluster) {
	open := map[string]int{}
	for i, item := range items {
		prompt, response := item.Len()
		if g, ok := open[item.key]; ok && len(out[g].items) < leastSlots && out[g].positions()+response <= w.row {
			out[g] = out[g].with(i, prompt+response, prompt)
			continue
		}
		open[item.key] = len(out)
		out = append(out, cluster{[]int{i}, prompt, prompt + response})
	}
	return out
}

// byBeginning clusters items wherever that makes less to run: those that have most in common first. A cluster of more than half a row
// is hard to place, so that it must save a quarter of what is added.
func (w *Warm) byBeginning(items []*warmItem) []cluster {
	order := make([]int, len(items))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return slices.Compare(items[a].Tokens, items[b].Tokens) })
	// In sorted order what two have in common, all between have: clusters are stretches, and what two neighbours share is what the
	// last of one and the first of the other do.
	of := make([]*cluster, len(items)) // by place in the order
	var gaps []int                     // between place i and the next
	common := make([]int, len(items))
	for i, at := range order {
		tokens := items[at].Tokens
		of[i] = &cluster{[]int{at}, min(len(tokens)-1, items[at].Read+1), len(tokens)}
		if i+1 < len(order) {
			common[i] = commonPrefix(tokens, items[order[i+1]].Tokens)
			gaps = append(gaps, i)
		}
	}
	slices.SortStableFunc(gaps, func(a, b int) int { return common[b] - common[a] })
	for _, i := range gaps {
		left, right := of[i], of[i+1]
		both := cluster{slices.Concat(left.items, right.items), min(left.shared, right.shared, common[i]), left.sum + right.sum}
		saved := left.positions() + right.positions() - both.positions()
		if both.shared < 1 || saved < 1 || len(both.items) > leastSlots || both.positions() > w.row ||
			both.positions() > w.row/2 && 4*saved < min(left.positions(), right.positions()) {
			continue
		}
		*left = both
		for j := i + 1; j < len(of) && of[j] == right; j++ {
			of[j] = left
		}
	}
	var out []cluster
	for i, c := range of {
		if i == 0 || c != of[i-1] {
			out = append(out, *c)
		}
	}
	return out
}

func commonPrefix(a, b []int32) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// batch runs a packed batch and returns the values of its slots.
func (w *Warm) batch(b *pack.Batch, class int) ([]pref.Values, error) {
	want := ScoreHead
	if class == classBoth {
		want |= PolicyHead | tokenLogps
	}
	of, err := w.model.readBatch(b, want, w.model.Arguments())
	if err != nil {
		return nil, err
	}
	out := make([]pref.Values, b.Shape.Responses)
	for slot := range out {
		out[slot].Rewards = map[string]float64{ByScore: float64(of.score[slot])}
	}
	if class == classScore {
		return out, nil
	}
	refs, err := w.reference.model.readBatch(b, want, w.reference.arguments())
	if err != nil {
		return nil, err
	}
	for n, slot := range b.Owner {
		if slot < 0 {
			continue
		}
		r := w.beta * (float64(of.logp[n]) - float64(refs.logp[n]))
		v := &out[slot]
		v.Tokens = append(v.Tokens, pref.TokenReward{Token: w.model.Tokenizer.Decode(b.Target[n:n+1], false), Reward: r})
		v.Rewards[ByImplicit] += r
	}
	for _, v := range out {
		if n := len(v.Tokens); n > 0 {
			v.Rewards[ByNormalized] = v.Rewards[ByImplicit] / float64(n)
		}
		if c := w.combination; c != nil {
			v.Rewards[ByCombined] = c.Score*v.Rewards[ByScore] + c.Implicit*v.Rewards[ByImplicit]
		}
	}
	return out, nil
}

// Score implements [pref.Scorer] by the default reward.
func (w *Warm) Score(ctx context.Context, samples []pref.Sample) ([]float64, error) {
	items := make([]pref.Item, len(samples))
	for i, s := range samples {
		var err error
		if items[i], err = w.Encode(pref.Input{Sample: s}, w.rewards[:1], false); err != nil {
			return nil, fmt.Errorf("sample %d: %w", i+1, err)
		}
	}
	values, err := w.Read(ctx, items)
	if err != nil {
		return nil, err
	}
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = v.Rewards[w.rewards[0]]
	}
	return out, nil
}

// Close frees the model.
func (w *Warm) Close() { w.model.Close() }
