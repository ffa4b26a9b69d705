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

// ErrTooLong is wrapped by the error for an input that is longer than an [Engine] reads.
var ErrTooLong = errors.New("too long")

// EngineOptions are the options of [Model.Engine].
type EngineOptions struct {
	// Rewards are the names of the rewards to serve, the default first; none: those of the trained
	// heads.
	Rewards []string
	// MaxLength is the most tokens of prompt and response together. 0 is the limit of training, where
	// the model's policy cuts longer ones, or else the smaller of 4096 and the model's number of
	// positions.
	MaxLength int
	// Before is the engine that this one replaces, nil for none. If the programs of both are the same,
	// the new engine takes them over.
	Before *Engine
	// Progress, if not nil, is called as programs are compiled.
	Progress func(done, total int)
}

// An Engine is a model with all its programs compiled, so that no request waits for a compilation.
// Its batches have one of a few fixed shapes. It reads several rewards of encoded inputs at once.
// Its rewards are those of a [Reader] to float rounding. It is safe for concurrent use; one batch
// runs at a time.
type Engine struct {
	model     *Model
	rewards   []string
	formula   Formula
	reference *Reference // nil where no implicit reward is given
	shapes    []pack.Shape
	longest   int // tokens
	row       int // positions of a row that groups are packed into

	mu       sync.Mutex // of encoders
	encoders map[string]*encode.Encoder
	unclosed sync.Once // the warning of texts that end before their turn does
}

// Sizes of the shapes of an [Engine]: single rows double from shortestRow to the longest input;
// several rows are a quarter longer than that, so that what is left of one is of use, and at most
// of commonRow.
const (
	shortestRow   = 64
	commonRow     = 1024
	defaultLength = 4096
	slotPositions = 8  // a response slot for so many positions
	leastSlots    = 16 // and so many at least
)

// Engine makes the model ready to serve: it opens the reference if an implicit reward is wanted,
// and compiles every program. The engine's Close closes the model.
func (m *Model) Engine(ctx context.Context, opt EngineOptions) (*Engine, error) {
	e := &Engine{model: m, rewards: opt.Rewards}
	if len(e.rewards) == 0 {
		e.rewards = m.TrainedRewards()
	}
	var err error
	if e.formula, err = m.formula(e.rewards); err != nil {
		return nil, err
	}
	if needs(e.rewards)&PolicyHead != 0 {
		if e.reference, err = m.Reference(""); err != nil {
			return nil, err
		}
	}
	positions := m.Config.MaxPositions
	switch e.longest = opt.MaxLength; {
	case e.longest == 0 && m.Meta.MaxLength > 0:
		e.longest = m.Meta.MaxLength
	case e.longest == 0 && positions > 0:
		e.longest = min(positions, defaultLength)
	case e.longest == 0:
		e.longest = defaultLength
	case positions > 0 && e.longest > max(positions, m.Meta.MaxLength):
		return nil, fmt.Errorf("reward: inputs of %d tokens are asked for, the model has positions for "+
			"%d: give a smaller max length", e.longest, positions)
	}
	e.setShapes()
	if b := opt.Before; b != nil && slices.Equal(b.shapes, e.shapes) &&
		slices.Equal(b.rewards, e.rewards) {
		if m.adopt(b.model) {
			return e, nil
		}
	}
	return e, e.compile(ctx, opt.Progress)
}

// setShapes chooses the shapes: single rows of every length, and more rows of the common one, up to
// a packed batch's positions.
func (e *Engine) setShapes() {
	add := func(rows, length int) {
		n := rows * length
		e.shapes = append(e.shapes, pack.Shape{Rows: rows, Length: length, Predicted: n,
			Responses: max(leastSlots, n/slotPositions)})
	}
	round := func(n int) int { return shortestRow * ((n + shortestRow - 1) / shortestRow) }
	longest := round(e.longest)
	e.row = min(commonRow, round(e.longest*5/4),
		max(shortestRow, e.model.positions/shortestRow*shortestRow))
	for length := shortestRow; length < max(longest, e.row); length *= 2 {
		if length != e.row && length != longest {
			add(1, length)
		}
	}
	add(1, e.row)
	if longest > e.row {
		add(1, longest)
	}
	most := e.model.positions / e.row
	for rows := 2; rows < most; rows *= 2 {
		add(rows, e.row)
	}
	if most > 1 {
		add(most, e.row)
	}
}

// The classes of items, by the heads to read.
const (
	classScore = iota // the score head
	classBoth         // both heads, token by token, and the reference
)

// compile runs every program once.
func (e *Engine) compile(ctx context.Context, progress func(done, total int)) error {
	classes := []int{classScore}
	switch {
	case e.reference != nil && slices.Contains(e.rewards, ByScore):
		classes = []int{classScore, classBoth}
	case e.reference != nil:
		classes = []int{classBoth}
	}
	tiny := []encode.Group{
		{Prompt: []int32{0}, Responses: []encode.Response{encode.Answer([]int32{0})}}}
	want := ScoreHead
	if e.reference != nil {
		want |= PolicyHead | tokenLogps
	}
	// before minutes go into the shapes that fit
	if err := e.model.checkRead(want, e.shapes...); err != nil {
		return err
	}
	for i, shape := range e.shapes {
		for j, class := range classes {
			if err := ctx.Err(); err != nil {
				return err
			}
			plan, err := pack.IntoShapes(tiny, []pack.Shape{shape})
			if err != nil {
				return fmt.Errorf("reward: %w", err)
			}
			if _, err := e.batch(plan.Batch(0), class); err != nil {
				return err
			}
			if progress != nil {
				progress(i*len(classes)+j+1, len(e.shapes)*len(classes))
			}
		}
	}
	return nil
}

// Rewards returns the names of the served rewards, the default first.
func (e *Engine) Rewards() []string { return e.rewards }

// MaxLength is the largest number of tokens of prompt and response.
func (e *Engine) MaxLength() int { return e.longest }

// Capacity is the number of tokens that fit into several of the largest batches, because batches
// that are planned together are fuller.
func (e *Engine) Capacity() int {
	const together = 4
	n := 0
	for _, s := range e.shapes {
		n = max(n, s.Positions())
	}
	return together * n
}

// Next chooses the items of one packed batch, by index: the most urgent ones, and others that fill
// the batch best.
func (e *Engine) Next(items []pref.Item, urgency []int) ([]int, error) {
	groups, at, _, err := e.groupsOf(items)
	if err != nil {
		return nil, err
	}
	of := make([]int, len(groups)) // that of the group's most urgent item
	for i, p := range at {
		of[p.group] = max(of[p.group], urgency[i])
	}
	chosen, err := pack.Next(groups, e.shapes, of)
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

// engineItem is an encoded input.
type engineItem struct {
	encode.Conversation
	truncated bool
	key       string // of the prompt's tokens
	class     int
}

func (i *engineItem) PromptKey() string { return i.key }
func (i *engineItem) Len() (prompt, response int) {
	return i.Response, len(i.Tokens) - i.Response
}
func (i *engineItem) Truncated() bool { return i.truncated }
func (i *engineItem) Class() int      { return i.class }

// Encode encodes an input for reading. names are the rewards to be read, tokens means that the
// rewards of single tokens are wanted, too. An error wraps [ErrTooLong] if the input is longer than
// the model reads.
func (e *Engine) Encode(in pref.Input, names []string, tokens bool) (pref.Item, error) {
	item := &engineItem{class: classScore}
	for _, name := range names {
		if !slices.Contains(e.rewards, name) {
			return nil, fmt.Errorf("reward: reward %q is not served of this model, which has %v", name,
				e.rewards)
		}
		if name != ByScore {
			item.class = classBoth
		}
	}
	if tokens {
		if e.reference == nil {
			return nil, fmt.Errorf("reward: rewards of single tokens are parts of the implicit reward, "+
				"which is not served of this model; it has %v", e.rewards)
		}
		item.class = classBoth
	}
	for _, id := range in.Tokens {
		if id < 0 || int(id) >= e.model.Config.Vocab {
			return nil, fmt.Errorf("reward: token %d is not in the vocabulary, which has 0 to %d", id,
				e.model.Config.Vocab-1)
		}
	}
	encoder, err := e.encoderWith(in.TemplateArgs)
	switch {
	case err != nil:
		return nil, err
	case in.Verbatim():
		e.checkClosing(in.Text)
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
	whole := []encode.Group{encode.NewGroup([]encode.Conversation{item.Conversation},
		len(item.Tokens))}
	if err := e.model.CheckIDs(whole); err != nil {
		return nil, err
	}
	if n := len(item.Tokens); n > e.longest {
		return nil, fmt.Errorf("reward: %w: %d tokens, this model reads up to %d", ErrTooLong, n,
			e.longest)
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
func (e *Engine) encoderWith(args map[string]json.RawMessage) (*encode.Encoder, error) {
	if len(args) == 0 {
		return e.model.Encoder, nil
	}
	key, err := json.Marshal(args)
	if err != nil {
		return nil, fmt.Errorf("reward: variables of the chat template: %w", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if known := e.encoders[string(key)]; known != nil {
		return known, nil
	}
	encoder, err := e.model.EncoderWith(args)
	if err != nil {
		return nil, err
	}
	if e.encoders == nil || len(e.encoders) == mostEncoders {
		e.encoders = map[string]*encode.Encoder{}
	}
	e.encoders[string(key)] = encoder
	return encoder, nil
}

// checkClosing warns, once, of a text that does not end as the template ends a turn: it is read as
// it stands, so its reward is not that of the same conversation as messages.
func (e *Engine) checkClosing(text string) {
	end := strings.TrimSpace(e.model.Encoder.Closing())
	if text == "" || strings.HasSuffix(strings.TrimSpace(text), end) {
		return
	}
	e.unclosed.Do(func() {
		slog.Warn("a text does not end as the chat template ends a turn: it is read as it stands, so "+
			"its reward differs from that of "+
			"the same conversation as messages; this is said once", "model", e.model.Dir, "end of a turn",
			end)
	})
}

// Read returns the values of the items, in order. They must be of one class and of this model.
func (e *Engine) Read(ctx context.Context, items []pref.Item) ([]pref.Values, error) {
	if len(items) == 0 {
		return nil, nil
	}
	groups, at, class, err := e.groupsOf(items)
	if err != nil {
		return nil, err
	}
	plan, err := pack.IntoShapes(groups, e.shapes)
	if err != nil {
		return nil, fmt.Errorf("reward: %w", err)
	}
	of := make([][]pref.Values, len(groups)) // by group and response
	for i := range plan.Batches {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		b := plan.Batch(i)
		values, err := e.batch(b, class)
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

// groupsOf makes groups of items that begin alike, none longer than a common row or with more
// responses than its slots. A score is read at one token alone, so whatever two items have in
// common is run once; a log-probability is that of the response, so there the prompt is what is
// shared.
func (e *Engine) groupsOf(
	items []pref.Item,
) (groups []encode.Group, at []place, class int, err error) {
	at = make([]place, len(items))
	encoded := make([]*engineItem, len(items))
	for i, it := range items {
		item, ok := it.(*engineItem)
		if !ok || item.class != items[0].Class() {
			return nil, nil, 0, fmt.Errorf("reward: item %d was not encoded for this batch: %T of class "+
				"%d, want *reward.engineItem of class %d", i+1, it, it.Class(), items[0].Class())
		}
		encoded[i] = item
	}
	var members []cluster
	if class = items[0].Class(); class == classScore {
		members = e.groupByPrefix(encoded)
	} else {
		members = e.groupByPrompt(encoded)
	}
	for g, m := range members {
		conversations := make([]encode.Conversation, len(m.items))
		for k, i := range m.items {
			at[i], conversations[k] = place{g, k}, encoded[i].Conversation
			if class == classScore {
				// no token is predicted, so any may be shared
				conversations[k].Response = len(encoded[i].Tokens)
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

// positions is the number of positions that run for the cluster.
func (c cluster) positions() int { return c.sum - (len(c.items)-1)*c.shared }

// groupByPrompt clusters items of one prompt.
func (e *Engine) groupByPrompt(items []*engineItem) []cluster {
	of := func(members []int) cluster {
		prompt, response := items[members[0]].Len()
		c := cluster{items: members, shared: prompt, sum: prompt + response}
		for _, i := range members[1:] {
			prompt, response = items[i].Len()
			c.shared, c.sum = min(c.shared, prompt, prompt+response-1), c.sum+prompt+response
		}
		return c
	}
	var out []cluster
	for _, members := range groupByKey(len(items), func(i int) string { return items[i].key },
		func(members []int, i int) bool {
			_, response := items[i].Len()
			return len(members) < leastSlots && of(members).positions()+response <= e.row
		}) {
		out = append(out, of(members))
	}
	return out
}

// groupByPrefix clusters items wherever that makes less to run: those that have most in common
// first. A cluster of more than half a row is hard to place, so that it must save a quarter of what
// is added.
func (e *Engine) groupByPrefix(items []*engineItem) []cluster {
	order := make([]int, len(items))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(
		order, func(a, b int) int { return slices.Compare(items[a].Tokens, items[b].Tokens) })
	// In sorted order what two have in common, all between have: clusters are stretches, and what two
	// neighbours share is what the last of one and the first of the other do.
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
		both := cluster{slices.Concat(left.items, right.items), min(left.shared, right.shared, common[i]),
			left.sum + right.sum}
		saved := left.positions() + right.positions() - both.positions()
		if both.shared < 1 || saved < 1 || len(both.items) > leastSlots || both.positions() > e.row ||
			both.positions() > e.row/2 && 4*saved < min(left.positions(), right.positions()) {
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
func (e *Engine) batch(b *pack.Batch, class int) ([]pref.Values, error) {
	want := ScoreHead
	if class == classBoth {
		want |= PolicyHead | tokenLogps
	}
	of, err := e.model.readBatch(b, want, e.model.Arguments())
	if err != nil {
		return nil, err
	}
	out := make([]pref.Values, b.Shape.Responses)
	if class == classScore {
		for slot := range out {
			out[slot].Rewards = map[string]float64{ByScore: float64(of.score[slot])}
		}
		return out, nil
	}
	refs, err := e.reference.model.readBatch(b, want, e.reference.arguments())
	if err != nil {
		return nil, err
	}
	implicit := make([]float64, len(out))
	for n, slot := range b.Owner {
		if slot < 0 {
			continue
		}
		r := e.formula.Implicit(float64(of.logp[n]), float64(refs.logp[n]))
		v := &out[slot]
		v.Tokens = append(v.Tokens, pref.TokenReward{Token: e.model.Tokenizer.Decode(b.Target[n:n+1],
			false), Reward: r})
		implicit[slot] += r
	}
	for slot := range out {
		v := &out[slot]
		v.Rewards = map[string]float64{}
		for _, name := range e.rewards {
			v.Rewards[name] = e.formula.Reward(name, float64(of.score[slot]), implicit[slot], len(v.Tokens))
		}
	}
	return out, nil
}

// Close frees the model.
func (e *Engine) Close() { e.model.Close() }
